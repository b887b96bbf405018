import math

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import RandomResizedCrop

from sdlora.datasets.base import AugmentOptions
from sdlora.randomness import uniforms
from sdlora.streams.views import central_views, random_views

SETTINGS = {
    "photographs": ((256, 341), AugmentOptions()),
    "upright photographs": ((300, 200), AugmentOptions(crop_scale=(0.08, 1.0))),
    "small": ((32, 32), AugmentOptions(crop_scale=(0.7, 1.0), crop_ratio=(0.9, 1.1))),
    "wide, often without a fit": ((20, 90), AugmentOptions(crop_scale=(0.3, 1.0))),
    "high, often without a fit": ((90, 31), AugmentOptions(crop_scale=(0.4, 1.0))),
    "whole, often without a fit": ((17, 13), AugmentOptions(crop_scale=(1.0, 1.0), crop_ratio=(0.5, 2.0))),
}


def drawn(setting, count, key=1):
    size, options = SETTINGS[setting]
    return random_views(np.tile(size, (count, 1)), 224, options, key=key, ids=np.arange(count))


@pytest.mark.parametrize("setting", SETTINGS)
def test_distribution_is_torchvisions(setting):
    size, options = SETTINGS[setting]
    count = 4000
    ours = drawn(setting, count).boxes
    with torch.random.fork_rng():
        torch.manual_seed(0)
        image = torch.empty(3, *size)
        scale, ratio = list(options.crop_scale), list(options.crop_ratio)
        theirs = np.array([RandomResizedCrop.get_params(image, scale, ratio) for _ in range(count)])

    def features(boxes):
        top, left, height, width = boxes.T.astype(float)
        rest = np.maximum(size[0] - height, 1), np.maximum(size[1] - width, 1)
        return [top, left, height, width, height * width, width / height, top / rest[0], left / rest[1], top - left]

    for a, b in zip(features(ours), features(theirs), strict=True):
        assert ks_2samp(a, b, method="asymp").pvalue > 1e-4


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_box_is_that_of_the_plain_algorithm(setting):
    """The loop of torchvision's get_params, one image and one number at a time."""
    (height, width), options = SETTINGS[setting]
    boxes, numbers = drawn(setting, 300, key=5).boxes, uniforms(5, np.arange(300), 41)
    fallbacks = 0
    for box, image_numbers in zip(boxes.tolist(), numbers.tolist(), strict=True):
        for attempt in range(10):
            area, ratio, top, left = image_numbers[1 + 4 * attempt : 5 + 4 * attempt]
            low, high = options.crop_scale
            narrow, wide = map(math.log, options.crop_ratio)
            target = height * width * (low + (high - low) * area)
            aspect = math.exp(narrow + (wide - narrow) * ratio)
            w, h = round(math.sqrt(target * aspect)), round(math.sqrt(target / aspect))
            if 0 < w <= width and 0 < h <= height:
                expected = [int(top * (height - h + 1)), int(left * (width - w + 1)), h, w]
                break
        else:
            fallbacks += 1
            w, h = width, height
            if width / height < options.crop_ratio[0]:
                h = round(width / options.crop_ratio[0])
            elif width / height > options.crop_ratio[1]:
                w = round(height * options.crop_ratio[1])
            expected = [(height - h) // 2, (width - w) // 2, h, w]
        assert box == expected
    assert (fallbacks > 10) == ("without a fit" in setting)


def test_half_are_flipped_unless_none_may_be():
    size, options = np.full((10_000, 2), 32), AugmentOptions()
    flips = random_views(size, 32, options, key=3, ids=np.arange(10_000)).flips
    assert abs(flips.mean() - 0.5) < 0.02
    options = AugmentOptions(flip=False)
    assert not random_views(size, 32, options, key=3, ids=np.arange(10_000)).flips.any()


def test_view_depends_on_key_and_id_alone():
    sizes = np.random.default_rng(0).integers(20, 300, (50, 2))
    all_views = random_views(sizes, 64, AugmentOptions(), key=9, ids=np.arange(50))
    some = np.array([31, 2, 17])
    views = random_views(sizes[some], 64, AugmentOptions(), key=9, ids=some)
    assert np.array_equal(views.boxes, all_views.boxes[some])
    assert np.array_equal(views.flips, all_views.flips[some])
    other = random_views(sizes, 64, AugmentOptions(), key=10, ids=np.arange(50))
    assert (other.boxes != all_views.boxes).any(axis=1).mean() > 0.9


def test_training_views_fill_the_picture():
    views = drawn("photographs", 5)
    assert views.grids.tolist() == [[224, 224]] * 5
    assert not views.corners.any()


@pytest.mark.parametrize(
    ("size", "picture", "test_crop", "grid", "corner"),
    [
        ((375, 500), 224, 0.875, (256, 341), (16, 58)),
        ((500, 375), 224, 0.875, (341, 256), (58, 16)),
        ((32, 32), 224, 1.0, (224, 224), (0, 0)),
        ((100, 131), 32, 0.875, (36, 47), (2, 8)),
        ((100, 105), 32, 0.875, (36, 37), (2, 2)),
    ],
)
def test_central_views(size, picture, test_crop, grid, corner):
    views = central_views(np.array([size]), picture, AugmentOptions(test_crop=test_crop))
    assert views.boxes.tolist() == [[0, 0, *size]]
    assert views.grids.tolist() == [list(grid)]
    assert views.corners.tolist() == [list(corner)]
    assert not views.flips.any()
