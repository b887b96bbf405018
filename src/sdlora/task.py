"""A task: one step of new classes; and the data a method may see of it.

Class ids are positions in the stream: the first task holds 0, 1, ..., the next one goes on from there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor


@dataclass(frozen=True)
class Task:
    """One step of a stream.

    Attributes:
        index: Position in the stream, from 0.
        classes: Names of its classes; their ids are class_offset, class_offset + 1, ...
        class_offset: Number of classes in all earlier tasks.
    """

    index: int
    classes: tuple[str, ...]
    class_offset: int

    @property
    def num_classes(self) -> int:
        """Classes in this task."""
        return len(self.classes)

    @property
    def num_seen(self) -> int:
        """Classes in this task and all earlier ones."""
        return self.class_offset + len(self.classes)


class Batches(Protocol):
    """Batches of one task's training images; iterating twice gives the same batches twice."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield images (N, 3, H, W), float in 0..1 on the training device, and their class ids (N,)."""
        ...

    def __len__(self) -> int:
        """Return the number of batches."""
        ...


@dataclass(frozen=True)
class TaskData:
    """The training images of one task, as `Method.prepare` and `Method.end_task` may see them.

    Attributes:
        train: Augmented and shuffled, as in training.
        plain: The same images in fixed order with the transform used at test.
        autocast: Gives a context in which forward passes have the precision of training.
    """

    train: Batches
    plain: Batches
    autocast: Callable[[], AbstractContextManager[Any]] = nullcontext
