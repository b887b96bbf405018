"""What a model says of images, and how often it is right: plain data, the same in Python, on a terminal and over HTTP.

No pixels and no tensors inside: a million predictions fit in memory. Lessons are tasks counted from 1, as people count.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, NamedTuple, overload

import numpy as np
from numpy.typing import NDArray

from sdlora.datasets.images import printable
from sdlora.errors import ConfigError

TOP_K = 3
THRESHOLD = 0.5


class ClassProbability(NamedTuple):
    """A class and how probable the model finds it.

    Attributes:
        label: Name of the class.
        probability: Softmax value, a fraction; not a measured certainty, and strange pictures can score high.
    """

    label: str
    probability: float


@dataclass(frozen=True, repr=False)
class Prediction(Sequence[ClassProbability]):
    """The likeliest classes of one image, best first: ``list(prediction)`` is ``[("tabby", 0.93), ...]``.

    Attributes:
        top: The likeliest classes, at least one.
        is_unsure: Whether the best probability is below the threshold that was asked for.
        task: Lesson that taught the best class, from 1.
        image: Path of the image, or None where it came without one.
        model_version: Which model said so; None for one that was never saved.
    """

    top: tuple[ClassProbability, ...]
    is_unsure: bool
    task: int
    image: str | None = None
    model_version: str | None = None

    @property
    def label(self) -> str:
        """Name of the likeliest class, however unsure."""
        return self.top[0].label

    @property
    def probability(self) -> float:
        """Probability of the likeliest class, a fraction."""
        return self.top[0].probability

    def __len__(self) -> int:
        return len(self.top)

    @overload
    def __getitem__(self, index: int) -> ClassProbability: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ClassProbability]: ...
    def __getitem__(self, index: int | slice) -> ClassProbability | Sequence[ClassProbability]:
        return self.top[index]

    def __iter__(self) -> Iterator[ClassProbability]:
        return iter(self.top)

    def __repr__(self) -> str:
        name = f"{self.image}: " if self.image is not None else ""
        return printable(f"Prediction({name}{', '.join(f'{label} {share:.2f}' for label, share in self.top)})")

    def to_dict(self) -> dict[str, Any]:
        """Return the prediction as ``sdlora predict --json`` and the HTTP API give it."""
        return {
            "image": self.image,
            "label": self.label,
            "probability": self.probability,
            "is_unsure": self.is_unsure,
            "task": self.task,
            "top": [entry._asdict() for entry in self.top],
            "error": None,
        }


def make_predictions(
    probabilities: NDArray[np.float32],
    classes: Sequence[str],
    tasks: Sequence[int],
    *,
    images: Sequence[str | None],
    top_k: int = TOP_K,
    threshold: float = THRESHOLD,
    model_version: str | None = None,
) -> list[Prediction]:
    """Return the predictions that the probabilities of N images over K classes stand for.

    Args:
        probabilities: (N, K), each row a softmax; equal values keep the order of `classes`.
        classes: K names.
        tasks: K lessons, from 1: which one taught the class.
        images: N paths, None for an image without one.
        top_k: How many classes to name; all of them if there are fewer.
        threshold: Probability of the best class below which the prediction is unsure, a fraction.
        model_version: Which model it is.

    Raises:
        ConfigError: If `top_k` or `threshold` is out of range.
    """
    check_options(top_k, threshold)
    order = np.argsort(-probabilities, axis=1, kind="stable")[:, :top_k]  # (N, top_k)
    return [
        Prediction(
            top=tuple(ClassProbability(classes[k], float(row[k])) for k in best),
            is_unsure=bool(row[best[0]] < threshold),
            task=tasks[best[0]],
            image=image,
            model_version=model_version,
        )
        for row, best, image in zip(probabilities, order.tolist(), images, strict=True)
    ]


def check_options(top_k: int, threshold: float) -> None:
    """Refuse options of a prediction that mean nothing.

    Raises:
        ConfigError: If `top_k` is below 1, or `threshold` is no fraction.
    """
    if top_k < 1:
        raise ConfigError(f"top_k = {top_k}", expected="at least 1")
    if not 0 <= threshold <= 1:
        raise ConfigError(f"threshold = {threshold}", expected="a fraction, from 0 to 1")


@dataclass(frozen=True)
class TaskAccuracy:
    """How well the classes of one lesson are told from all others.

    Attributes:
        task: The lesson, from 1.
        accuracy: Share of its images that are right.
        num_classes: Its classes of which there were images.
        num_images: Their images.
    """

    task: int
    accuracy: float
    num_classes: int
    num_images: int


@dataclass(frozen=True)
class ClassAccuracy:
    """How well one class is told from all others.

    Attributes:
        label: Name of the class.
        task: Lesson that taught it, from 1.
        accuracy: Share of its images that are right.
        num_images: Its images.
    """

    label: str
    task: int
    accuracy: float
    num_images: int


@dataclass(frozen=True)
class Confusion:
    """A class that was taken for another.

    Attributes:
        true: What the images show.
        predicted: What the model said.
        count: How many times.
    """

    true: str
    predicted: str
    count: int


@dataclass(frozen=True)
class Evaluation:
    """How often a model is right on labelled images, among all the classes it knows.

    Attributes:
        accuracy: Share of the images that are right.
        accuracy_task_mean: Mean over lessons of their accuracy: each lesson has the same weight.
        num_images: Images that count: those of classes the model knows.
        tasks: Lessons of which there were images, in order.
        classes: Classes of which there were images, in the model's order.
        confusions: Every pair that occurred, most frequent first.
        missing: Classes of the model without an image.
        unknown: Classes of the data that the model was never taught; their images were left out.
    """

    accuracy: float
    accuracy_task_mean: float
    num_images: int
    tasks: tuple[TaskAccuracy, ...]
    classes: tuple[ClassAccuracy, ...]
    confusions: tuple[Confusion, ...]
    missing: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def hardest(self, count: int) -> tuple[ClassAccuracy, ...]:
        """Return the classes with the lowest accuracy among those with any mistake, worst first."""
        wrong = [entry for entry in self.classes if entry.accuracy < 1]
        return tuple(sorted(wrong, key=lambda entry: entry.accuracy)[:count])

    def to_dict(self) -> dict[str, Any]:
        """Return the evaluation as ``sdlora evaluate --json`` prints it."""
        return asdict(self)


def make_evaluation(
    labels: NDArray[np.int64],
    predicted: NDArray[np.int64],
    classes: Sequence[str],
    tasks: Sequence[int],
    *,
    unknown: Sequence[str] = (),
) -> Evaluation:
    """Count what a model got right.

    Args:
        labels: (N,) what the images show, positions in `classes`; N is at least 1.
        predicted: (N,) what the model said.
        classes: All classes of the model.
        tasks: Which lesson taught each class, from 1.
        unknown: Classes of the data that were left out.
    """
    right = predicted == labels
    lesson_of = np.asarray(tasks)[labels]  # (N,)
    by_task = [_task_accuracy(task, right, labels, lesson_of == task) for task in np.unique(lesson_of).tolist()]
    by_class = [
        ClassAccuracy(classes[k], tasks[k], right[labels == k].mean().item(), int((labels == k).sum()))
        for k in np.unique(labels).tolist()
    ]
    wrong = Counter(zip(labels[~right].tolist(), predicted[~right].tolist(), strict=True))
    ranked = sorted(wrong.items(), key=lambda item: (-item[1], item[0]))
    present = set(labels.tolist())
    return Evaluation(
        accuracy=right.mean().item(),
        accuracy_task_mean=fmean(entry.accuracy for entry in by_task),
        num_images=len(labels),
        tasks=tuple(by_task),
        classes=tuple(by_class),
        confusions=tuple(Confusion(classes[true], classes[said], count) for (true, said), count in ranked),
        missing=tuple(label for k, label in enumerate(classes) if k not in present),
        unknown=tuple(unknown),
    )


def _task_accuracy(
    task: int, right: NDArray[np.bool_], labels: NDArray[np.int64], is_member: NDArray[np.bool_]
) -> TaskAccuracy:
    num_classes = len(np.unique(labels[is_member]))
    return TaskAccuracy(task, right[is_member].mean().item(), num_classes, int(is_member.sum()))
