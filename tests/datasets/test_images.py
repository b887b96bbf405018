import io
import os
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from pictures import encode, photo
from PIL import Image, ImageFile
from torchvision.transforms import functional

from sdlora.datasets import images
from sdlora.datasets.images import decode, decode_rgba, decode_small, printable, read_image, shrink
from sdlora.errors import DataError

PIXELS = photo(24, 36)


def close(found, expected, levels=1):
    assert found.dtype == np.uint8
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= levels


@pytest.mark.parametrize("format", ["PNG", "BMP", "TIFF"])
def test_lossless_formats_come_back_exactly(format):
    assert np.array_equal(decode(encode(PIXELS, format)), PIXELS)


def test_lossless_webp_comes_back_exactly():
    assert np.array_equal(decode(encode(PIXELS, "WEBP", lossless=True)), PIXELS)


def test_jpeg_is_close():
    found = decode(encode(photo(48, 64), "JPEG", quality=95))
    assert np.abs(found.astype(int) - photo(48, 64)).mean() < 4


def test_result_is_writable_and_contiguous():
    found = decode(encode(PIXELS))
    assert found.flags.writeable
    assert found.flags.c_contiguous


UPRIGHT = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p.transpose(1, 0, 2)[::-1, ::-1],
    8: lambda p: np.rot90(p, 1),
}


@pytest.mark.parametrize("orientation", UPRIGHT)
@pytest.mark.parametrize("format", ["PNG", "TIFF"])
def test_exif_orientation_is_applied(orientation, format):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode(encode(PIXELS, format, exif=exif)), UPRIGHT[orientation](PIXELS))


def test_exif_orientation_of_a_jpeg_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    plain = decode(encode(PIXELS, "JPEG"))
    assert np.array_equal(decode(encode(PIXELS, "JPEG", exif=exif)), np.rot90(plain, -1))


def test_turning_leaves_the_other_metadata_alone(monkeypatch):
    """Pillow writes them anew for each picture that it turns: 20 MB of numbers took it 4 seconds and 1.6 GB."""
    exif = Image.Exif()
    exif[0x0112] = 6
    data = encode(PIXELS, "PNG", exif=exif)
    monkeypatch.setattr(Image.Exif, "tobytes", lambda *_, **__: pytest.fail("metadata were written"))
    assert np.array_equal(decode(data), np.rot90(PIXELS, -1))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_is_none_turns_nothing(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    assert np.array_equal(decode(encode(PIXELS, "PNG", exif=exif)), PIXELS)


def test_sixteen_bits_are_scaled_not_clipped():
    levels = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    expected = np.repeat(np.rint(levels / 65535 * 255).astype(np.uint8)[..., None], 3, axis=2)
    close(decode(encode(Image.fromarray(levels))), expected)
    close(decode(encode(Image.fromarray(levels), "TIFF")), expected)
    assert len(np.unique(decode(encode(Image.fromarray(levels))))) == 256


def test_sixteen_bits_big_endian():
    levels = np.arange(0, 65536, 64, dtype=np.uint16).reshape(32, 32)
    data = encode(Image.frombytes("I;16B", (32, 32), levels.astype(">u2").tobytes()), "TIFF")
    close(decode(data), np.repeat(np.rint(levels / 65535 * 255).astype(np.uint8)[..., None], 3, axis=2))


def test_thirty_two_bits_within_sixteen_are_scaled_and_others_refused():
    levels = np.arange(0, 65536, 64, dtype=np.int32).reshape(32, 32)
    expected = np.repeat(np.rint(levels / 65535 * 255).astype(np.uint8)[..., None], 3, axis=2)
    close(decode(encode(Image.fromarray(levels), "TIFF")), expected)
    with pytest.raises(DataError, match="64 to 65536, not within 0 to 65535"):
        decode(encode(Image.fromarray(levels + np.eye(32, dtype=np.int32) * 64), "TIFF"))


def png(width, height, depth, colour, rows, *chunks):
    """A PNG of a kind that Pillow does not write; `rows` hold its samples, big-endian."""

    def chunk(name, content):
        return len(content).to_bytes(4, "big") + name + content + zlib.crc32(name + content).to_bytes(4, "big")

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes([depth, colour, 0, 0, 0])
    size = len(rows) // height
    lines = b"".join(b"\0" + rows[start : start + size] for start in range(0, len(rows), size))
    parts = [(b"IHDR", header), *chunks, (b"IDAT", zlib.compress(lines)), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts)


GREY, COLOUR, GREY_ALPHA, COLOUR_ALPHA = 0, 2, 4, 6


def sixteen(*levels):
    return np.array(levels, dtype=">u2").tobytes()


@pytest.mark.parametrize(
    ("kind", "samples", "chunks", "expected"),
    [
        (GREY, sixteen(0, 65535), [(b"tRNS", sixteen(0))], [[255] * 3, [255] * 3]),
        (GREY, sixteen(257 * 9, 257 * 80), [(b"tRNS", sixteen(257 * 9 + 1))], [[9] * 3, [80] * 3]),
        (COLOUR, sixteen(*(257 * level for level in (1, 2, 3, 200, 100, 50))), [], [[1, 2, 3], [200, 100, 50]]),
        (GREY_ALPHA, sixteen(257 * 60, 65535, 257 * 60, 0), [], [[60] * 3, [255] * 3]),
        (COLOUR_ALPHA, sixteen(0, 0, 0, 32896, 257, 514, 771, 65535), [], [[127] * 3, [1, 2, 3]]),
    ],
)
def test_sixteen_bits_with_colour_and_transparency(kind, samples, chunks, expected):
    close(decode(png(2, 1, 16, kind, samples, *chunks)), np.array([expected], np.uint8))


@pytest.mark.parametrize(("depth", "samples", "expected"), [(1, 0b01000000, [0, 255]), (2, 0b01100000, [85, 170])])
def test_few_bits_are_scaled(depth, samples, expected):
    found = decode(png(2, 1, depth, GREY, bytes([samples])))
    close(found, np.array([[[level] * 3 for level in expected]], np.uint8))


def test_fractions_are_refused():
    with pytest.raises(DataError, match="without a stated range"):
        decode(encode(Image.fromarray(np.ones((4, 4), np.float32)), "TIFF"))


def test_alpha_lies_on_white():
    alpha = np.linspace(0, 255, 24 * 36).reshape(24, 36, 1).astype(np.uint8)
    share = alpha / 255
    expected = (PIXELS * share + 255 * (1 - share)).round().astype(np.uint8)
    close(decode(encode(np.concatenate([PIXELS, alpha], axis=2))), expected)
    grey = Image.fromarray(np.concatenate([PIXELS[..., :1], alpha], axis=2), "LA")
    close(decode(encode(grey)), np.repeat(expected[..., :1], 3, axis=2))


@pytest.mark.parametrize("format", ["PNG", "GIF"])
def test_transparent_palette_entry_lies_on_white(format):
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.putdata([0, 1])
    found = decode(encode(image, format, transparency=0))
    assert found.tolist() == [[[255, 255, 255], [200, 100, 50]]]
    assert decode(encode(image, format)).tolist() == [[[10, 20, 30], [200, 100, 50]]]


def test_transparent_colour_lies_on_white():
    pixels = np.array([[[1, 2, 3], [4, 5, 6]]], np.uint8)
    assert decode(encode(pixels, transparency=(1, 2, 3))).tolist() == [[[255] * 3, [4, 5, 6]]]


def test_transparency_can_be_kept():
    pixels = np.dstack([PIXELS, np.arange(24 * 36, dtype=np.uint16).reshape(24, 36).astype(np.uint8)])
    assert np.array_equal(decode_rgba(encode(pixels)), pixels)
    assert (decode_rgba(encode(PIXELS))[..., 3] == 255).all()
    with pytest.raises(DataError, match=r"x\.png cannot be read"):
        decode_rgba(encode(pixels)[:100], name="x.png")


def test_cmyk():
    inks = np.array([[[0, 0, 0, 0], [255, 0, 0, 0], [0, 255, 255, 0], [0, 0, 0, 255], [0, 0, 0, 128]]], np.uint8)
    expected = np.array([[[255] * 3, [0, 255, 255], [255, 0, 0], [0] * 3, [127] * 3]], np.uint8)
    close(decode(encode(Image.fromarray(inks, "CMYK"), "TIFF")), expected)
    flat = np.tile(inks[:, 2:3], (16, 16, 1))
    close(decode(encode(Image.fromarray(flat, "CMYK"), "JPEG", quality=100)), np.full((16, 16, 3), (255, 0, 0)), 3)


def test_grey_and_one_bit():
    grey = PIXELS[..., 0]
    assert np.array_equal(decode(encode(grey)), np.repeat(grey[..., None], 3, axis=2))
    bits = Image.fromarray(grey).point(lambda level: 255 * (level > 128), "1")
    assert set(np.unique(decode(encode(bits)))) == {0, 255}


@pytest.mark.parametrize(("format", "options"), [("GIF", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("PNG", {})])
def test_first_frame_of_an_animation(format, options):
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    found = decode(encode(red, format, save_all=True, append_images=[blue, blue], **options))
    assert np.array_equal(found, np.full((8, 8, 3), (255, 0, 0)))


def test_first_picture_of_a_multi_picture_jpeg():
    red, blue = (Image.new("RGB", (16, 16), colour) for colour in ("red", "blue"))
    close(decode(encode(red, "MPO", save_all=True, append_images=[blue])), np.full((16, 16, 3), (255, 0, 0)), 3)


CUT = {
    "JPEG": {},
    "progressive": {"progressive": True},
    "PNG": {},
    "WEBP": {},
    "lossless": {"lossless": True},
    "BMP": {},
    "GIF": {},
    "TIFF": {},
    "lzw": {"compression": "tiff_lzw"},
}
FORMAT = {"progressive": "JPEG", "lossless": "WEBP", "lzw": "TIFF"}


@pytest.mark.parametrize("kind", CUT)
@pytest.mark.parametrize("seed", range(3))
def test_a_cut_file_is_refused_at_every_twentieth(kind, seed):
    data = encode(photo(60, 80, seed), FORMAT.get(kind, kind), **CUT[kind])
    decode(data)
    for twentieth in range(20):
        with pytest.raises(DataError, match="photo"):
            decode(data[: len(data) * twentieth // 20], name="photo")


def test_pillow_is_left_as_it_was():
    decode(encode(PIXELS))
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False
    assert Image.MAX_IMAGE_PIXELS == 1024 * 1024 * 1024 // 4 // 3


def png_header(width, height):
    """A PNG that claims a size and holds next to nothing."""
    data = bytearray(encode(np.zeros((1, 1), np.uint8)))
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


@pytest.mark.parametrize("size", [(20_001, 1), (1, 20_001), (10_000, 5_001)])
def test_size_is_checked_before_decoding(size, monkeypatch):
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: pytest.fail("it was decoded"))
    with pytest.raises(DataError, match=f"{size[0]:,} x {size[1]:,} pixels") as caught:
        decode(png_header(*size), name="huge.png")
    assert "50,000,000" in str(caught.value)


def test_a_decompression_bomb_is_refused():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError, match="9,500 x 9,500 pixels"):
            decode(png_header(9_500, 9_500))
        with pytest.raises(DataError, match="bomb"):
            decode(png_header(30_000, 30_000))


@pytest.mark.parametrize("canvas", [8_000, 12_000, 16_384])
def test_an_animated_canvas_is_not_allocated(canvas):
    red, blue = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    data = bytearray(encode(red, "WEBP", save_all=True, append_images=[blue]))
    assert data[12:16] == b"VP8X"
    data[24:27] = data[27:30] = (canvas - 1).to_bytes(3, "little")
    tracemalloc.start()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(DataError):
            decode(bytes(data))
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_too_many_bytes_are_not_read(tmp_path, monkeypatch):
    path = tmp_path / "large.png"
    with path.open("wb") as file:
        file.truncate(images.MAX_BYTES + 1)
    monkeypatch.setattr(type(path), "read_bytes", lambda self: pytest.fail("it was read"))
    with pytest.raises(DataError, match="20,000,001 bytes"):
        decode(path)
    with pytest.raises(DataError, match="20,000,001 bytes"):
        decode(bytes(images.MAX_BYTES + 1))


@pytest.mark.parametrize("format", ["ICO", "PPM", "TGA", "PCX", "EPS", "PDF"])
def test_other_formats_are_refused_whatever_their_name(format, tmp_path):
    path = tmp_path / "picture.png"
    path.write_bytes(encode(PIXELS, format))
    with pytest.raises(DataError, match=r"picture\.png cannot be read: not an image\nExpected: a complete image"):
        decode(path, name="picture.png")


def test_caller_may_allow_fewer_formats():
    with pytest.raises(DataError, match="not an image"):
        decode(encode(PIXELS, "TIFF"), formats=("JPEG", "PNG"))


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"gone\.png cannot be read: no such file"):
        decode(tmp_path / "gone.png")
    with pytest.raises(DataError, match="is no file"):
        decode(tmp_path)
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match=r"pipe\.png is no file"):
        read_image(tmp_path / "pipe.png", "pipe.png")
    with pytest.raises(DataError, match="cannot be read"):
        decode(b"", name="empty")


def test_names_cannot_steer_the_terminal():
    assert printable("a\x1b[31m\n\u202eé\udc80") == "a\\x1b[31m\\n\\u202eé\\udc80"
    with pytest.raises(DataError) as caught:
        decode(b"no image", name="\x1b]0;owned\x07.png")
    assert "\x1b" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")
def test_any_bytes_give_pixels_or_a_data_error():
    random = np.random.default_rng(7)
    seeds = [encode(photo(20, 30), format) for format in ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")]
    outcomes, named = {"pixels": 0, "refused": 0}, 0
    for turn in range(10_000):
        data = bytearray(seeds[turn % len(seeds)])
        for _ in range(random.integers(1, 8)):
            data[random.integers(len(data))] = random.integers(256)
        if turn % 3 == 0:
            start = random.integers(len(data))
            del data[start : start + random.integers(1, 40)]
        try:
            pixels = decode(bytes(data), name="mutated")
            assert pixels.ndim == 3
            assert pixels.shape[2] == 3
            outcomes["pixels"] += 1
        except DataError as error:
            named += "mutated" in str(error)
            outcomes["refused"] += 1
    assert named == outcomes["refused"]
    assert min(outcomes.values()) > 1000


def test_shrink_equals_torchvision():
    for height, width in ((100, 61), (61, 100), (64, 64), (333, 47)):
        pixels = photo(height, width)
        oracle = functional.resize(
            Image.open(io.BytesIO(encode(pixels))), 32, interpolation=functional.InterpolationMode.BICUBIC
        )
        assert np.array_equal(shrink(pixels, 32), np.asarray(oracle))


def test_shrink_never_enlarges():
    assert shrink(PIXELS, 24) is PIXELS
    assert shrink(PIXELS, 100) is PIXELS


@pytest.fixture
def decoded_sizes(monkeypatch):
    """The sizes at which images are decoded, one entry each."""
    sizes = []
    upright = images._upright
    monkeypatch.setattr(images, "_upright", lambda image: sizes.append(image.size) or upright(image))
    return sizes


@pytest.mark.parametrize(
    ("height", "width", "shorter_side", "size"),
    [
        (640, 480, 30, (60, 80)),  # an eighth
        (640, 480, 31, (120, 160)),
        (640, 480, 120, (240, 320)),
        (640, 480, 121, (480, 640)),  # less than twice what is wanted would remain
        (480, 640, 30, (80, 60)),
    ],
)
def test_a_large_jpeg_is_decoded_at_less_than_its_size(height, width, shorter_side, size, decoded_sizes):
    pixels = photo(height, width)
    data = encode(pixels, "JPEG", quality=90)
    small = decode_small(data, shorter_side)
    assert decoded_sizes == [size]
    expected = shrink(decode(data), shorter_side)
    assert small.shape == expected.shape
    difference = np.abs(small.astype(int) - expected)
    assert difference.mean() < 1
    assert difference.max() <= 8


def test_other_formats_and_smaller_jpegs_are_decoded_whole(decoded_sizes):
    pixels = photo(240, 320)
    for data in (encode(pixels), encode(pixels, "WEBP", quality=90), encode(photo(48, 64), "JPEG")):
        assert np.array_equal(decode_small(data, 30), shrink(decode(data), 30))
    assert decoded_sizes == [(320, 240)] * 4 + [(64, 48)] * 2


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_jpeg_of_any_kind_is_small_and_upright(mode, orientation):
    exif = Image.Exif()
    exif[images.ORIENTATION] = orientation
    picture = Image.fromarray(photo(400, 300)).convert(mode)
    data = encode(picture, "JPEG", quality=95, exif=exif)
    expected = shrink(decode(data), 40)
    small = decode_small(data, 40)
    assert small.shape == expected.shape
    assert np.abs(small.astype(int) - expected).mean() < 1


def test_a_cut_jpeg_is_refused_however_small_it_is_wanted():
    data = encode(photo(640, 480), "JPEG", progressive=True)
    for share in range(1, 20):
        with pytest.raises(DataError):
            decode_small(data[: len(data) * share // 20], 16)
