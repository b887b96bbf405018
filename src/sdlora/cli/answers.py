"""Ask a model about images, many at a time: the next batch is decoded while the model looks at this one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from sdlora.datasets.image_files import NUM_THREADS
from sdlora.datasets.images import printable
from sdlora.errors import DataError
from sdlora.learner import Learner

T = TypeVar("T")
Pixels = NDArray[np.uint8]

BATCH_SIZES = {"cpu": 16, "cuda": 128, "mps": 64}  # images; small enough that answers begin soon


@dataclass(frozen=True)
class Unreadable:
    """Why there is no answer for an image.

    Attributes:
        code: ``"not_found"`` or ``"unreadable"``.
        message: What is wrong with it, without its name.
    """

    code: str
    message: str


def ask(
    learner: Learner, images: Sequence[T], read: Callable[[T], Pixels | Unreadable]
) -> Iterator[tuple[T, NDArray[np.float32] | Unreadable]]:
    """Yield every image, in order, with its probabilities (num_seen,), or why it cannot be read.

    Args:
        learner: The model.
        images: What stands for the images.
        read: Turns one of them into what `Learner.preprocess` returns; called from several threads.
    """
    position = 0
    for batch in _read_ahead(images, read, BATCH_SIZES[learner.device.type]):
        readable = [pixels for pixels in batch if not isinstance(pixels, Unreadable)]
        rows = iter(learner.probabilities(torch.from_numpy(np.stack(readable)))) if readable else iter(())
        for pixels in batch:
            yield images[position], pixels if isinstance(pixels, Unreadable) else next(rows)
            position += 1


def read_file(learner: Learner, path: Path) -> Pixels | Unreadable:
    """Return a file as the model sees it, or why it cannot be read."""
    if not path.exists():
        return Unreadable("not_found", "no such file")
    try:
        return learner.preprocess(path)
    except DataError as error:
        name = printable(str(path))
        return Unreadable("unreadable", error.what.removeprefix(f"{name} cannot be read: ").removeprefix(f"{name} "))


def tasks_of_classes(learner: Learner) -> tuple[int, ...]:
    """Return for every class of a model, in order, the lesson that taught it, from 1."""
    return tuple(record.task for record in learner.history for _ in record.classes)


def _read_ahead(
    images: Sequence[T], read: Callable[[T], Pixels | Unreadable], size: int
) -> Iterator[list[Pixels | Unreadable]]:
    """Yield images in batches, each begun while the one before it is in use."""
    with ThreadPoolExecutor(NUM_THREADS) as threads:

        def begin(start: int) -> list[Future[Pixels | Unreadable]]:
            return [threads.submit(read, image) for image in images[start : start + size]]

        ahead = begin(0)
        for start in range(size, len(images) + size, size):
            batch, ahead = ahead, begin(start)
            yield [future.result() for future in batch]
