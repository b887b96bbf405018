import unicodedata

import numpy as np
import pytest
import torch
from emoji_drawings import FEW, drawing, write_drawings
from pictures import encode
from PIL import Image

from sdlora.datasets import emoji as module
from sdlora.datasets.base import DATASETS
from sdlora.datasets.emoji import PER_HAND, draw, drawing_name, drawings_digest, load_drawing, tint
from sdlora.datasets.emoji_classes import CODEPOINTS, DRAWINGS, HANDS, TEST_HANDS, TRAIN_HANDS
from sdlora.errors import DataError

load = DATASETS.get("emoji100")
CHARACTER_NAMES = {"pizza": "SLICE OF PIZZA", "french fries": "FRENCH FRIES", "thumbs up": "THUMBS UP SIGN"}


@pytest.fixture
def root(tmp_path, monkeypatch):
    """Drawings of a few classes, taken for all of them."""
    monkeypatch.setattr(module, "CODEPOINTS", FEW)
    return write_drawings(tmp_path / "emoji")


def test_there_are_one_hundred_different_emoji():
    assert len(CODEPOINTS) == len(set(CODEPOINTS.values())) == 100
    assert all(name == name.lower().strip() and "/" not in name for name in CODEPOINTS)
    for name, expected in CHARACTER_NAMES.items():
        assert unicodedata.name(chr(CODEPOINTS[name])) == expected
    alike = [
        name for name in CODEPOINTS if set(name.upper().split()) & set(unicodedata.name(chr(CODEPOINTS[name])).split())
    ]
    assert len(alike) >= 85  # Unicode's own names are older: "aubergine" for eggplant


def test_hands_of_train_and_test_are_disjoint():
    assert len(set(TRAIN_HANDS)) == 5
    assert len(set(TEST_HANDS)) == 3
    assert not set(TRAIN_HANDS) & set(TEST_HANDS)
    assert {hand.split("_")[0] for hand in TRAIN_HANDS}.isdisjoint(hand.split("_")[0] for hand in TEST_HANDS)
    assert set(DRAWINGS) == {*TRAIN_HANDS, *TEST_HANDS}


def test_images_and_labels(tmp_path):
    dataset = load(write_drawings(tmp_path, CODEPOINTS), 16)
    assert dataset.classes == tuple(CODEPOINTS)
    for split, part, count in ((dataset.train, "train", 40), (dataset.test, "test", 21)):
        assert PER_HAND[part] * len(HANDS[part]) == count
        assert np.asarray(split.images).shape == (100 * count, 16, 16, 3)
        assert np.asarray(split.images).dtype == np.uint8
        assert np.bincount(split.labels).tolist() == [count] * 100
        assert len(np.unique(np.asarray(split.images), axis=0)) == 100 * count
    assert not dataset.default_augment.flip  # emoji have a conventional orientation


def test_pixels_follow_the_drawings_alone(root, tmp_path):
    first, again = load(root, 16), load(root, 16)
    assert first.train.digest == again.train.digest
    assert first.test.digest == again.test.digest
    other = write_drawings(tmp_path / "other")
    (other / "train" / "bear" / "noto.png").write_bytes(drawing("cloud", "noto"))
    changed = load(other, 16)
    assert changed.test.digest == first.test.digest
    moved = (np.asarray(changed.train.images) != np.asarray(first.train.images)).any(axis=(1, 2, 3))
    bear = first.train.labels == list(FEW).index("bear")
    assert moved[bear][:8].all()
    assert moved.sum() == 8


def test_no_image_of_a_test_hand_is_in_train(root, tmp_path):
    """Without the test drawings the training images would be the same."""
    other = write_drawings(tmp_path / "other")
    for hand in TEST_HANDS:
        for label in FEW:
            (other / drawing_name(hand, label)).write_bytes(drawing("skull", "noto"))
    assert load(other, 16).train.digest == load(root, 16).train.digest


def test_a_seed_fixes_every_pixel(root):
    drawings = torch.stack([load_drawing(root / drawing_name(hand, "fire"), "fire", 32) for hand in TRAIN_HANDS])
    first, again, other = (draw(drawings, 4, 32, seed) for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert first.shape == (20, 32, 32, 3)


def test_a_drawing_is_cropped_centred_and_keeps_its_shape(tmp_path):
    image = Image.new("RGBA", (100, 100))
    image.paste((255, 0, 0, 255), (60, 10, 100, 30))  # 40 x 20, in a corner
    image.putpixel((2, 90), (0, 0, 0, 3))  # dust
    (tmp_path / "x.png").write_bytes(encode(image))
    pixels = load_drawing(tmp_path / "x.png", "x.png", 50).numpy()
    rows, columns = np.flatnonzero(pixels[3].any(axis=1)), np.flatnonzero(pixels[3].any(axis=0))
    assert (rows[0], rows[-1], columns[0], columns[-1]) == (15, 34, 5, 44)
    assert np.array_equal(pixels[0], pixels[3])
    assert not pixels[1:3].any()


def test_what_is_transparent_shows_the_background():
    drawings = torch.zeros(2, 4, 16, 16)
    pixels = draw(drawings, 30, 16, 0)
    assert len(np.unique(pixels.reshape(60, -1), axis=0)) == 60
    drawings[:, 3] = 1  # black and opaque
    assert draw(drawings, 30, 16, 0).mean() < 0.25 * pixels.mean()


def test_tint_changes_colours_a_little():
    images = torch.rand((200, 3, 8, 8), generator=torch.Generator().manual_seed(1))
    tinted = tint(images, torch.Generator().manual_seed(2))
    assert 0.02 < (tinted - images).abs().mean() < 0.15
    assert tinted.min() >= 0
    assert tinted.max() <= 1


@pytest.mark.parametrize("place", [None, "nowhere"])
def test_a_missing_folder_names_the_command(place, tmp_path):
    with pytest.raises(DataError) as caught:
        load(tmp_path / place if place else None, 32)
    what, expected, fix = str(caught.value).splitlines()
    assert what == f"emoji100 is not at {tmp_path / place if place else 'data/emoji100'}"
    assert expected.startswith("Expected: FOLDER/train/<class>/<set>.png")
    assert fix == "Fix: python scripts/fetch_emoji.py --root FOLDER, then stream.root=FOLDER"


def test_missing_drawings_are_counted_and_named(root):
    for name in ("train/bear/noto.png", "test/fire/fluent.png"):
        (root / name).unlink()
    with pytest.raises(DataError) as caught:
        load(root, 32)
    what, first, second, _, fix = str(caught.value).splitlines()
    assert what == f"{root} lacks 2 of the 48 drawings of emoji100:"
    assert (first, second) == ("  train/bear/noto.png is missing", "  test/fire/fluent.png is missing")
    assert fix == "Fix: python scripts/fetch_emoji.py --root FOLDER"


def test_damaged_and_empty_drawings_are_named(root):
    path = root / "test/fire/fluent.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(DataError, match=r"test/fire/fluent\.png cannot be read"):
        load(root, 16)
    path.write_bytes(encode(Image.new("RGBA", (20, 20))))
    with pytest.raises(DataError, match=r"test/fire/fluent\.png is fully transparent\nExpected: a drawing\nFix: "):
        load(root, 16)


def test_other_drawings_than_the_recorded_ones_are_noted(root, monkeypatch):
    assert "the drawings of noto, noto_v1, " in load(root, 16).notes[0]
    monkeypatch.setattr(module, "DRAWINGS", {hand: drawings_digest(root, hand) for hand in DRAWINGS})
    assert load(root, 16).notes == ()


def test_a_digest_covers_every_drawing_in_order(root):
    whole = drawings_digest(root, "noto")
    bear, fire = (root / drawing_name("noto", label) for label in ("bear", "fire"))
    one, other = bear.read_bytes(), fire.read_bytes()
    bear.write_bytes(other)
    fire.write_bytes(one)
    assert drawings_digest(root, "noto") not in (whole, None)
    bear.unlink()
    assert drawings_digest(root, "noto") is None
