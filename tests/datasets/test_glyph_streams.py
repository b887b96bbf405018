import numpy as np
import pytest

from sdlora.datasets import DATASETS
from sdlora.datasets.glyph_streams import TEST_FACES, TRAIN_FACES, draw_split, letters
from sdlora.datasets.glyphs import FACES, HELD_OUT_SCRIPTS, script_of


def test_faces_of_train_and_test_are_disjoint():
    assert set(TRAIN_FACES) | set(TEST_FACES) == set(FACES)
    assert not set(TRAIN_FACES) & set(TEST_FACES)
    assert len(TEST_FACES) == 4


@pytest.mark.parametrize("script", HELD_OUT_SCRIPTS)
def test_letters_are_letters_of_the_script(script):
    found = letters(script)
    assert len(found) >= 40
    assert all(char.isalpha() and script_of(char) == script for char in found)


def test_a_seed_fixes_a_split():
    first, again, other = (draw_split(("ж", "ω"), FACES[:2], 3, 32, seed) for seed in (1, 1, 2))
    assert first.digest == again.digest != other.digest
    assert np.asarray(first.images).shape == (6, 32, 32, 3)
    assert first.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_glyphs100():
    dataset = DATASETS.get("glyphs100")(None, 32)
    assert len(set(dataset.classes)) == 100
    assert len(dataset.train.labels) == 8000
    assert len(dataset.test.labels) == 2000
    assert not dataset.default_augment.flip


def test_alphabets_end_on_real_digits():
    dataset = DATASETS.get("alphabets")(None, 32)
    assert len(dataset.classes) == 90
    assert dataset.classes[80:] == ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
    digits = np.asarray(dataset.test.images)[dataset.test.labels >= 80]
    assert (digits[..., 0] == digits[..., 1]).all()
    assert len(digits) > 350
