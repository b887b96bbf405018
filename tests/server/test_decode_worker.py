"""What a decoding process answers; the process itself is tested in test_decoders."""

import io

import numpy as np
import pytest
from PIL import Image

from sdlora import Learner
from sdlora.datasets import AugmentOptions
from sdlora.server.decode_worker import answer, picture, serve
from sdlora.server.frames import DAMAGED, DONE, KEEP, NOT_AN_IMAGE, PICTURE, TOO_MANY_PIXELS, Frame, pack, read_frame


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def encoded(pixels, kind="PNG", **options):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def learner():
    return Learner(device="cpu")


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("size", [(28, 28), (40, 90), (300, 200), (20, 31)])
def test_it_sees_what_the_learner_sees(learner, size, kind):
    data = encoded(noise(*size), kind)
    reply = answer(Frame(PICTURE, data, learner.image_size, learner.augment.test_crop))
    assert reply.kind == DONE
    seen = np.frombuffer(reply.data, np.uint8).reshape(learner.image_size, learner.image_size, 3)
    np.testing.assert_array_equal(seen, learner.preprocess(data))


def test_a_picture_of_its_own_size_is_cut_not_resampled():
    pixels = noise(32, 48)
    options = AugmentOptions(test_crop=0.875)
    np.testing.assert_array_equal(picture(pixels, 28, options), pixels[2:30, 10:38])


def test_what_is_kept_is_upright_small_and_nothing_but_pixels():
    exif = Image.Exif()
    exif[0x0112], exif[0x013B] = 6, "somebody"
    data = encoded(noise(900, 600), "JPEG", exif=exif)
    reply = answer(Frame(KEEP, data, 320))
    assert reply.kind == DONE
    assert b"somebody" not in reply.data
    with Image.open(io.BytesIO(reply.data)) as kept:
        assert kept.format == "PNG"
        assert kept.size == (480, 320)  # lying on its side before


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"GIF89a" + bytes(20), b"%!PS-Adobe", b"\x00\x00\x00\x18ftypheic" + bytes(30)]
)
def test_what_is_no_picture_is_told_so(data):
    assert answer(Frame(PICTURE, data, 8, 1.0)).kind == NOT_AN_IMAGE


@pytest.mark.parametrize("kind", ["GIF", "TIFF", "BMP"])
def test_formats_that_only_folders_may_hold_are_no_pictures_here(kind):
    assert answer(Frame(PICTURE, encoded(noise(8, 8), kind), 8, 1.0)).kind == NOT_AN_IMAGE


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.7, 0.95])
def test_a_cut_picture_is_damaged(kind, share):
    data = encoded(noise(64, 64), kind)
    reply = answer(Frame(PICTURE, data[: int(share * len(data))], 8, 1.0))
    assert reply.kind == DAMAGED
    assert b"the picture" in reply.data


def test_a_bomb_is_refused_before_it_is_decoded():
    data = encoded(np.zeros((8000, 8000, 3), np.uint8))  # 64 megapixels in some kilobytes
    reply = answer(Frame(PICTURE, data, 8, 1.0))
    assert reply.kind == TOO_MANY_PIXELS
    assert b"8,000 x 8,000" in reply.data


def test_random_damage_never_ends_it():
    rng = np.random.default_rng(0)
    originals = [encoded(noise(24, 24), kind) for kind in ("PNG", "JPEG", "WEBP")]
    for _ in range(300):
        data = bytearray(originals[rng.integers(3)])
        for place in rng.integers(0, len(data), rng.integers(1, 9)):
            data[place] = rng.integers(256)
        reply = answer(Frame(PICTURE, bytes(data), 8, 0.875))
        assert reply.kind in (DONE, NOT_AN_IMAGE, TOO_MANY_PIXELS, DAMAGED)
        assert reply.kind != DONE or len(reply.data) == 8 * 8 * 3


def test_it_answers_frame_after_frame():
    target = io.BytesIO()
    serve(io.BytesIO(pack(Frame(PICTURE, b"x", 8, 1.0)) + pack(Frame(PICTURE, encoded(noise(8, 8)), 8, 1.0))), target)
    target.seek(0)
    assert [read_frame(target).kind for _ in range(2)] == [NOT_AN_IMAGE, DONE]
