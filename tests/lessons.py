"""Small data to teach: coloured stripes and levels of grey, as Datasets with .classes and as folders."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sdlora.datasets import DATASETS
from sdlora.datasets.base import Dataset
from sdlora.learner import Learner

SIDE = 16  # of the pictures, pixels; what the untrained backbone takes


@cache
def stripes() -> Dataset:
    """Return twelve classes of stripes."""
    return DATASETS.get("synthetic")(None, SIDE, num_classes=12, train_images=8, test_images=4)


class Levels:
    """Two classes of grey pictures, dark and light in turn, as a Dataset: items are (array, label).

    Args:
        classes: Their names.
        num_images: Of both together.
    """

    def __init__(self, *classes: str, num_images: int = 8) -> None:
        self.classes, self.num_images = classes or ("dark", "light"), num_images

    def __len__(self) -> int:
        return self.num_images

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], int]:
        return np.full((28, 28, 3), 40 + 160 * (index % 2), np.uint8), index % 2


class Stripes:
    """Some classes as a Dataset: items are (image, label).

    Args:
        numbers: Which classes.
        part: ``"train"`` or ``"test"``.
        names: What they are called; ``"stripes <number>"`` if absent.
    """

    def __init__(self, numbers: Sequence[int], part: str = "train", names: Sequence[str] | None = None) -> None:
        split = getattr(stripes(), part)
        self.classes = [f"stripes {number}" for number in numbers] if names is None else list(names)
        rows = [np.flatnonzero(split.labels == number) for number in numbers]
        self._items = [(split.images[row], label) for label, members in enumerate(rows) for row in members]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], int]:
        return self._items[index]


def write_stripes(root: Path, numbers: Sequence[int], part: str = "train") -> Path:
    """Write ROOT/<class>/<n>.png and return ROOT."""
    data = Stripes(numbers, part)
    for index in range(len(data)):
        image, label = data[index]
        folder = root / data.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(folder / f"{index:03}.png")
    return root


def learner(method: str = "probe", *lessons: Sequence[int], **options: object) -> Learner:
    """Return a learner on the untrained backbone that was taught the given classes, one epoch each."""
    made = Learner("untrained_vit", method=method, device="cpu", **options)  # type: ignore[arg-type]
    for numbers in lessons:
        made.learn(Stripes(numbers), epochs=1)
    return made


def everything() -> NDArray[np.uint8]:
    """Return all test pictures (N, SIDE, SIDE, 3)."""
    return np.asarray(stripes().test.images)
