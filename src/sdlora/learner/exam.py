"""Images of earlier classes, measured before and after a lesson."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from sdlora.bundle import Retest
from sdlora.errors import DataError
from sdlora.learner.data import LabelledImages
from sdlora.learner.measure import answers
from sdlora.methods import Method
from sdlora.streams import TaskSplit

if TYPE_CHECKING:
    from sdlora.learner.learner import Learner


@dataclass(frozen=True)
class Exam:
    """What is measured, and what came of it before the lesson.

    Attributes:
        name: What the data are called.
        split: The images.
        tasks: The lessons that taught their classes.
        before: Accuracy of the model as it was, fraction.
    """

    name: str
    split: TaskSplit
    tasks: tuple[int, ...]
    before: float

    @classmethod
    def sat_by(cls, learner: Learner, data: LabelledImages) -> Exam:
        """Let the model as it is sit the exam.

        Raises:
            DataError: If the data show a class that is not known yet.
        """
        known = learner.classes
        if unknown := [name for name in data.classes if name not in known]:
            raise DataError(
                f"{data.name} shows classes that are not known before this lesson: {', '.join(unknown[:10])}",
                expected="images of earlier classes alone",
            )
        rows = data.for_testing()
        labels = np.array([known.index(name) for name in data.classes], dtype=np.int64)[data.labels[rows]]
        split = TaskSplit(data.images, rows, labels, learner.augment)
        said = answers(learner.method, split, learner.device)
        lesson_of = [record.task for record in learner.history for _ in record.classes]
        tasks = sorted({lesson_of[label] for label in labels.tolist()})
        return cls(data.name, split, tuple(tasks), float((said == labels).mean()))

    def again(self, method: Method, device: torch.device) -> Retest:
        """Return the accuracies before and now."""
        after = float((answers(method, self.split, device) == self.split.labels).mean())
        return Retest(
            name=self.name,
            classes=len(np.unique(self.split.labels)),
            tasks=self.tasks,
            num_images=len(self.split),
            before=self.before,
            after=after,
        )
