"""Coloured stripes: a dataset of any number of classes, made in milliseconds, for tests and trials."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sdlora.datasets.base import DATASETS, AugmentOptions, Dataset, Split, refuse_root
from sdlora.randomness import hash_key, uniforms


@DATASETS.register("synthetic")
def synthetic(
    root: Path | None,
    image_size: int,
    *,
    num_classes: int = 10,
    train_images: int = 20,
    test_images: int = 10,
    seed: int = 0,
) -> Dataset:
    """Make classes that differ in the colours, direction and width of their stripes; images of one in shift and noise.

    Args:
        root: None.
        image_size: Side of an image, pixels.
        num_classes: Number of classes.
        train_images: Images to learn from, a class.
        test_images: Images to test on, a class.
        seed: Another seed, other classes.
    """
    refuse_root(root, "synthetic")

    def draw(part: str, count: int) -> Split:
        labels = np.repeat(np.arange(num_classes), count)
        look = uniforms(hash_key("synthetic", seed), np.arange(num_classes), 8)[labels, :, None, None, None]
        numbers = uniforms(hash_key("synthetic", seed, part), np.arange(len(labels)), 1 + image_size**2)
        shift = numbers[:, 0, None, None, None]
        noise = numbers[:, 1:].reshape(-1, image_size, image_size, 1)
        y, x = np.mgrid[0:image_size, 0:image_size][..., None] / image_size
        angle, waves = np.pi * look[:, 0], 1 + 4 * look[:, 1]
        stripes = 0.5 + 0.5 * np.sin(2 * np.pi * (waves * (x * np.cos(angle) + y * np.sin(angle)) + shift))
        dark, light = (look[:, part, 0, 0, 0][:, None, None] for part in ((2, 3, 4), (5, 6, 7)))
        images = 0.8 * (dark + (light - dark) * stripes) + 0.2 * noise
        return Split((images * 255).round().astype(np.uint8), labels)

    return Dataset(
        name="synthetic",
        classes=tuple(f"stripes {index}" for index in range(num_classes)),
        train=draw("train", train_images),
        test=draw("test", test_images),
        default_augment=AugmentOptions(crop_scale=(0.5, 1.0), flip=False, test_crop=1.0),
    )
