"""Which part of an image becomes a picture for the backbone: random crops in training, the centre at test.

Letters: N images, P side of a picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdlora.datasets.base import AugmentOptions
from sdlora.randomness import uniforms

ATTEMPTS = 10  # crops tried before the fallback, as in torchvision
DRAWS = 4  # random numbers for an attempt: area, ratio, top, left


@dataclass(frozen=True)
class Views:
    """N views: a box of each image is resized to a grid, and a P x P window of that grid is the picture.

    Attributes:
        boxes: (N, 4) top, left, height, width of the box, pixels of the image.
        grids: (N, 2) height and width to which the box is resized, pixels.
        corners: (N, 2) top and left of the window in the grid, pixels.
        flips: (N,) whether the picture is mirrored left to right.
        filter: Filter for resizing, antialiased.
    """

    boxes: NDArray[np.int64]
    grids: NDArray[np.int64]
    corners: NDArray[np.int64]
    flips: NDArray[np.bool_]
    filter: str


def random_views(
    sizes: NDArray[np.int64], picture: int, options: AugmentOptions, *, key: int, ids: NDArray[np.int64]
) -> Views:
    """Draw a random crop, resized to the picture, and a flip for each image.

    The distribution is that of torchvision's ``RandomResizedCrop`` and ``RandomHorizontalFlip(0.5)``; the numbers are a
    function of key and image id alone.

    Args:
        sizes: (N, 2) heights and widths of the images, pixels.
        picture: Side P, pixels.
        options: Range of areas and ratios; whether to flip.
        key: Hash of seed, task and epoch.
        ids: (N,) ids of the images.
    """
    count = len(sizes)
    numbers = uniforms(key, ids, 1 + ATTEMPTS * DRAWS)
    area, ratio, top, left = np.moveaxis(numbers[:, 1:].reshape(count, ATTEMPTS, DRAWS), 2, 0)  # (N, ATTEMPTS) each
    limits = sizes[:, None, :]  # (N, 1, 2)
    (low, high), logs = options.crop_scale, np.log(options.crop_ratio)
    area = limits.prod(axis=2) * (low + (high - low) * area)
    ratio = np.exp(logs[0] + (logs[1] - logs[0]) * ratio)
    box = np.rint(np.sqrt(np.stack([area / ratio, area * ratio], axis=2))).astype(np.int64)  # (N, ATTEMPTS, 2)
    fits = ((box > 0) & (box <= limits)).all(axis=2)
    corner = np.floor((limits - box + 1) * np.stack([top, left], axis=2)).astype(np.int64)
    first = fits.argmax(axis=1)
    drawn = np.concatenate([corner, box], axis=2)[np.arange(count), first]
    boxes = np.where(fits.any(axis=1)[:, None], drawn, _central_boxes(sizes, options.crop_ratio))
    return Views(
        boxes=boxes,
        grids=np.full((count, 2), picture),
        corners=np.zeros((count, 2), dtype=np.int64),
        flips=(numbers[:, 0] < 0.5) & options.flip,
        filter="bilinear",
    )


def central_views(sizes: NDArray[np.int64], picture: int, options: AugmentOptions) -> Views:
    """Resize the shorter side of each image so that its central `options.test_crop` is the picture, as timm does.

    Args:
        sizes: (N, 2) heights and widths of the images, pixels.
        picture: Side P, pixels.
        options: The share of the shorter side that is seen.
    """
    shorter = sizes.min(axis=1, keepdims=True)
    grids = options.shorter_side(picture) * sizes // shorter  # the longer side rounded down, as torchvision does
    return Views(
        boxes=np.concatenate([np.zeros_like(sizes), sizes], axis=1),
        grids=grids,
        corners=np.rint((grids - picture) / 2).astype(np.int64),
        flips=np.zeros(len(sizes), dtype=bool),
        filter="bicubic",
    )


def _central_boxes(sizes: NDArray[np.int64], ratios: tuple[float, float]) -> NDArray[np.int64]:
    """Return the largest central boxes whose ratio of width to height is within the limits (N, 4)."""
    height, width = sizes.T
    narrow, wide = width / height < ratios[0], width / height > ratios[1]
    box_height = np.where(narrow, np.rint(width / ratios[0]), height).astype(np.int64)
    box_width = np.where(wide, np.rint(height * ratios[1]), width).astype(np.int64)
    return np.stack([(height - box_height) // 2, (width - box_width) // 2, box_height, box_width], axis=1)
