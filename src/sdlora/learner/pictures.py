"""One image in any form that people have it, as pixels."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sdlora.datasets.base import AugmentOptions
from sdlora.datasets.images import SUFFIXES, decode_small, printable, shrink, to_pixels
from sdlora.errors import ConfigError, DataError
from sdlora.streams.resample import resample_each
from sdlora.streams.views import central_views

EXPECTED = "a path, bytes, a PIL image, an array (H, W, 3) of uint8, or a tensor (3, H, W), uint8 or float in 0..1"


def as_small(image: Any, shorter_side: int) -> NDArray[np.uint8]:
    """Return an image as uint8 RGB (H, W, 3), shrunk where its shorter side is longer than it need be.

    Args:
        image: Path, bytes of a file, PIL image, array (H, W, 3) of uint8, or tensor (3, H, W), uint8 or float in 0..1.
        shorter_side: Longest that the shorter side may be, pixels.

    Raises:
        DataError: If it is none of these, or cannot be read.
    """
    if isinstance(image, str | os.PathLike):
        return decode_small(Path(image), shorter_side)
    if isinstance(image, bytes | bytearray | memoryview):
        return decode_small(bytes(image), shorter_side)
    return shrink(_from_object(image), shorter_side)


def as_seen(image: Any, image_size: int, augment: AugmentOptions) -> NDArray[np.uint8]:
    """Return an image, in any form, as a model sees it at test: (image_size, image_size, 3).

    Raises:
        DataError: If it is none, or cannot be read.
    """
    pixels = as_small(image, augment.shorter_side(image_size))
    views = central_views(np.array([pixels.shape[:2]]), image_size, augment)
    picture = resample_each([pixels], views, image_size)[0]
    seen: NDArray[np.uint8] = (picture * 255).round().byte().permute(1, 2, 0).contiguous().numpy()
    return seen


def as_many(images: Any) -> Iterable[Any] | None:
    """Return images one by one if there may be many of them, or None if `images` is a single one.

    A list, an iterator, a folder, or a stack of arrays is many, even with one element.

    Raises:
        DataError: If a folder holds no image.
    """
    if isinstance(images, str | os.PathLike):
        path = Path(images)
        return image_files(path) if path.is_dir() else None
    if isinstance(images, np.ndarray | Tensor):
        return iter(images) if images.ndim == 4 else None
    if isinstance(images, bytes | bytearray | memoryview | Image.Image):
        return None
    return images if isinstance(images, Iterable) else None


def image_files(folder: Path) -> list[Path]:
    """Return all image files in a folder and the folders within, sorted; hidden ones are left out.

    Raises:
        DataError: If there is none.
    """
    found = [path for path in _walk(folder) if path.name.lower().endswith(SUFFIXES)]
    if not found:
        raise DataError(f"no image in {printable(str(folder))}", expected=" ".join(SUFFIXES))
    return found


def _walk(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        elif path.is_file():
            yield path


def _from_object(image: Any) -> NDArray[np.uint8]:
    if isinstance(image, Image.Image):
        try:
            return to_pixels(image)
        except (OSError, ValueError) as error:
            raise DataError(f"the image cannot be read: {printable(str(error))}") from error
    if isinstance(image, Tensor):
        return _from_tensor(image.detach().cpu())
    if isinstance(image, np.ndarray):
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or not image.size:
            raise DataError(f"an array {image.shape} of {image.dtype}", expected="(H, W, 3) of uint8")
        return np.ascontiguousarray(image)
    raise DataError(f"an image cannot be of type {type(image).__name__}", expected=EXPECTED)


def _from_tensor(image: Tensor) -> NDArray[np.uint8]:
    expected = "(3, H, W), uint8 or float in 0..1"
    if image.ndim != 3 or image.shape[0] != 3 or not image.numel():
        raise DataError(f"a tensor {tuple(image.shape)} of {image.dtype}", expected=expected)
    if image.dtype.is_floating_point:
        low, high = float(image.min()), float(image.max())
        if not (low >= 0 and high <= 1):  # NaN is refused too
            raise DataError(f"a tensor with values from {low:g} to {high:g}", expected=expected)
        return np.ascontiguousarray((image.float() * 255).round().byte().permute(1, 2, 0).numpy())
    if str(image.dtype) != "torch.uint8":
        raise DataError(f"a tensor of {image.dtype}", expected=expected)
    return np.ascontiguousarray(image.permute(1, 2, 0).numpy())


def batched(images: Iterator[Any], size: int) -> Iterator[list[Any]]:
    """Yield lists of `size` images, the last maybe shorter.

    Raises:
        ConfigError: If `size` is not positive.
    """
    if size < 1:
        raise ConfigError(f"batch_size = {size}", expected="at least 1")
    while batch := list(islice(images, size)):
        yield batch
