"""What a dataset is: named classes, images to train on and images to test on.

An image is uint8 (H, W, 3), RGB, of any size. A split in memory is simply an array (N, H, W, 3); a split on disk is an
object that decodes, or looks up, one image at a time.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from sdlora.errors import ConfigError
from sdlora.registry import Registry


class ImageSource(Protocol):
    """Images by position; an array (N, H, W, 3) of uint8 is one."""

    def __len__(self) -> int:
        """Return the number of images."""
        ...

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        """Return an image (H, W, 3)."""
        ...


@dataclass(frozen=True, kw_only=True)
class AugmentOptions:
    """How an image becomes a square for the backbone.

    Attributes:
        crop_scale: Smallest and largest area of a training crop, fractions of the image.
        crop_ratio: Smallest and largest width over height of a training crop.
        flip: Whether half of the training crops are mirrored.
        test_crop: Side of the central square seen at test, as a fraction of the image's shorter side.
    """

    crop_scale: tuple[float, float] = (0.05, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: bool = True
    test_crop: float = 0.875

    def __post_init__(self) -> None:
        low, high = self.crop_scale
        narrow, wide = self.crop_ratio
        if not 0 < low <= high <= 1:
            raise ConfigError(f"crop_scale = {list(self.crop_scale)}", expected="0 < smallest <= largest <= 1")
        if not 0 < narrow <= wide < math.inf:
            raise ConfigError(f"crop_ratio = {list(self.crop_ratio)}", expected="0 < smallest <= largest")
        if not 0 < self.test_crop <= 1:
            raise ConfigError(f"test_crop = {self.test_crop}", expected="above 0, at most 1")

    def shorter_side(self, image_size: int) -> int:
        """Return the shorter side, in pixels, of which the central `image_size` pixels are seen at test."""
        return int(image_size / self.test_crop)


@dataclass(frozen=True)
class Split:
    """Images and what they show.

    Attributes:
        images: N images.
        labels: (N,) positions in `Dataset.classes`.
        content: What identifies the images, for those that are not in memory: a hash over their files.
    """

    images: ImageSource
    labels: NDArray[np.int64]
    content: str | None = None

    @cached_property
    def digest(self) -> str:
        """sha256 over labels and `content`, or pixels where there is none."""
        total = hashlib.sha256(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        if self.content is not None:
            total.update(self.content.encode())
            return total.hexdigest()
        for index in range(len(self.images)):
            image = self.images[index]
            total.update(f"{image.shape}".encode())
            total.update(np.ascontiguousarray(image).data)
        return total.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """A labelled set of images.

    Attributes:
        name: What recipes call it.
        classes: Class names, in the dataset's own order.
        train: Images to learn from.
        test: Images to measure with.
        default_augment: How its images become squares unless a recipe says otherwise.
        notes: What was left out and why, a line each; for people.
    """

    name: str
    classes: tuple[str, ...]
    train: Split
    test: Split
    default_augment: AugmentOptions = AugmentOptions()
    notes: tuple[str, ...] = ()


DATASETS: Registry[Callable[..., Dataset]] = Registry("dataset")
"""Functions ``(root: Path | None, image_size: int, **options) -> Dataset``."""


def refuse_root(root: Path | None, name: str) -> None:
    """Refuse a folder for a dataset that reads none.

    Raises:
        ConfigError: If `root` is given.
    """
    if root is not None:
        raise ConfigError(f"stream.root would change nothing: {name} reads no folder", fix="leave it out")


def default_root(name: str) -> Path:
    """Return the folder in which dataset `name` is looked for when a recipe names none."""
    return Path("data") / name
