import math

import numpy as np
import pytest

from sdlora.datasets.base import DATASETS, AugmentOptions, Split
from sdlora.errors import ConfigError


def test_every_dataset_is_registered():
    assert set(DATASETS) == {
        "alphabets",
        "cifar100",
        "cub200",
        "digits",
        "domainnet",
        "emoji100",
        "folder",
        "glyphs",
        "glyphs100",
        "imagenet_a",
        "imagenet_r",
        "synthetic",
    }


def test_digest_follows_pixels_sizes_and_labels():
    pixels, labels = np.zeros((4, 6, 5, 3), np.uint8), np.array([0, 1, 0, 1])
    changed = pixels.copy()
    changed[3, 5, 4, 2] = 1
    splits = [
        Split(pixels, labels),
        Split(changed, labels),
        Split(pixels, labels[::-1]),
        Split(pixels.reshape(4, 5, 6, 3), labels),
        Split(pixels[:3], labels[:3]),
        Split(pixels, labels, content="files"),
        Split(pixels, labels, content="other files"),
    ]
    assert len({split.digest for split in splits}) == len(splits)
    assert Split(list(pixels.copy()), labels.astype(np.int32)).digest == splits[0].digest


@pytest.mark.parametrize(
    "wrong",
    [
        {"crop_scale": (0.0, 1.0)},
        {"crop_scale": (0.6, 0.5)},
        {"crop_scale": (0.5, 1.1)},
        {"crop_ratio": (0.0, 1.0)},
        {"crop_ratio": (2.0, 1.0)},
        {"crop_ratio": (1.0, math.inf)},
        {"test_crop": 0.0},
        {"test_crop": 1.01},
        {"crop_scale": (math.nan, 1.0)},
    ],
)
def test_impossible_augmentation_is_refused(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        AugmentOptions(**wrong)


def test_shorter_side_is_timms():
    assert AugmentOptions().shorter_side(224) == 256
    assert AugmentOptions(test_crop=0.9).shorter_side(224) == 248
    assert AugmentOptions(test_crop=1.0).shorter_side(32) == 32
