"""scikit-learn's handwritten digits: 1,797 real scans of 8 x 8 pixels, a copy of which every installation holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from sdlora.datasets.base import DATASETS, AugmentOptions, Dataset, Split, refuse_root
from sdlora.datasets.holdout import hold_out

NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
LEVELS = 16  # ink in a pixel, 0 to 16


@DATASETS.register("digits")
def digits(root: Path | None, image_size: int) -> Dataset:
    """Load the digits; a fixed fifth of each class is for testing.

    Args:
        root: None; scikit-learn brings its own copy.
        image_size: Side to which the scans are enlarged bilinearly, pixels.
    """
    refuse_root(root, "digits")
    from sklearn.datasets import load_digits  # importing scikit-learn takes a second

    scans = load_digits()
    ink = torch.from_numpy(scans.images).float()[:, None] / LEVELS  # (N, 1, 8, 8)
    large = F.interpolate(ink, size=(image_size, image_size), mode="bilinear", align_corners=False)
    grey = (large * 255).round().to(torch.uint8)
    pixels: NDArray[np.uint8] = grey.permute(0, 2, 3, 1).expand(-1, -1, -1, 3).contiguous().numpy()
    labels = scans.target.astype(np.int64)
    test = hold_out(labels)
    return Dataset(
        name="digits",
        classes=NAMES,
        train=Split(pixels[~test], labels[~test]),
        test=Split(pixels[test], labels[test]),
        default_augment=AugmentOptions(crop_scale=(0.7, 1.0), crop_ratio=(0.9, 1.1), flip=False, test_crop=1.0),
    )
