"""A stream: the ordered tasks of a run, and the images of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdlora.datasets.base import AugmentOptions, ImageSource, Split
from sdlora.task import Task


@dataclass(frozen=True)
class TaskSplit:
    """Some images of a dataset, with the class ids of a stream.

    Attributes:
        images: All images of the dataset's split.
        ids: (N,) positions of this task's images in `images`, ascending; an image keeps its id for ever.
        labels: (N,) class ids of the stream.
        augment: How the images become squares unless a recipe says otherwise.
    """

    images: ImageSource
    ids: NDArray[np.int64]
    labels: NDArray[np.int64]
    augment: AugmentOptions

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Stream:
    """Tasks in the order in which they arrive; made by `sdlora.streams.split.make_stream`.

    Attributes:
        name: Dataset and number of tasks, such as ``"digits_2"``.
        tasks: What is trained on, one after another.
        groups: What accuracy is measured on: the tasks again, in `joined` too.
        train_split: Training images of all classes, labelled with class ids of the stream.
        test_split: Test images of all classes, labelled likewise.
        augment: The dataset's default.
        digest: sha256 over images, labels, class order and task sizes.
        notes: What the dataset left out and why, a line each.
    """

    name: str
    tasks: tuple[Task, ...]
    groups: tuple[Task, ...]
    train_split: Split
    test_split: Split
    augment: AugmentOptions
    digest: str
    notes: tuple[str, ...] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names in order of arrival: position = class id."""
        return tuple(name for task in self.groups for name in task.classes)

    def train(self, index: int) -> TaskSplit:
        """Return the training images of task `index`."""
        return self._part(self.train_split, self.tasks[index])

    def test(self, index: int) -> TaskSplit:
        """Return the test images of group `index`."""
        return self._part(self.test_split, self.groups[index])

    def joined(self) -> Stream:
        """Return the same stream with all classes in one task, measured on the same groups.

        Name and digest stay: it is the same data in the same order, so results are comparable.
        """
        return replace(self, tasks=(Task(index=0, classes=self.classes, class_offset=0),))

    def describe(self) -> dict[str, Any]:
        """Return what a manifest stores: name, digest, class names in order and by task, what was left out."""
        return {
            "name": self.name,
            "digest": self.digest,
            "classes": list(self.classes),
            "tasks": [list(task.classes) for task in self.groups],
            "notes": list(self.notes),
        }

    def _part(self, split: Split, task: Task) -> TaskSplit:
        ids = np.flatnonzero((split.labels >= task.class_offset) & (split.labels < task.num_seen))
        return TaskSplit(split.images, ids, split.labels[ids], self.augment)
