"""Counting what a method gets right."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdlora.bundle import Description, Weakest
from sdlora.datasets.base import AugmentOptions
from sdlora.engine.seeding import seeded
from sdlora.errors import DataError
from sdlora.learner.data import LabelledImages
from sdlora.methods import Method
from sdlora.predictions import Evaluation, make_evaluation
from sdlora.streams import PlainBatches, TaskSplit

BATCH = 256  # images


def answers(
    method: Method, split: TaskSplit, device: torch.device, watch: Callable[[], None] = lambda: None
) -> NDArray[np.int64]:
    """Return the class (N,) that a method finds likeliest for each image, among all it has begun."""
    found = [logits.argmax(dim=1) for logits in outputs(method, method, split, device, watch)]
    return torch.cat([torch.empty(0, dtype=torch.int64), *found]).numpy()


def evaluation(
    predictor: Method,
    description: Description,
    images: LabelledImages,
    augment: AugmentOptions,
    device: torch.device,
    *,
    ignore_unknown: bool,
) -> Evaluation:
    """Return how often a taught method is right on labelled images.

    Raises:
        DataError: If no class is known, or one is not and `ignore_unknown` is not set.
    """
    classes = description.classes
    unknown = [name for name in images.classes if name not in classes]
    if unknown and not ignore_unknown:
        raise DataError(
            f"{images.name} has classes that were never taught: {', '.join(unknown[:10])}",
            expected="classes that the model knows",
            fix="ignore_unknown=True (--ignore-unknown), or teach them",
        )
    rows = images.for_testing()
    place = np.array([classes.index(name) if name in classes else -1 for name in images.classes])
    rows = rows[place[images.labels[rows]] >= 0]
    if not len(rows):
        raise DataError(f"{images.name} shows no class that the model knows")
    split = TaskSplit(images.images, rows, place[images.labels[rows]], augment)
    tasks = [description.task_of(label) for label in classes]
    return make_evaluation(split.labels, answers(predictor, split, device), classes, tasks, unknown=unknown)


def features(method: Method, split: TaskSplit, device: torch.device) -> Tensor:
    """Return the backbone's features (N, D) of each image, with what the method has adapted in it."""
    return torch.cat([torch.empty(0, method.backbone.feature_dim), *outputs(method, method.backbone, split, device)])


@torch.inference_mode()
def outputs(
    method: Method,
    function: Callable[[Tensor], Tensor],
    split: TaskSplit,
    device: torch.device,
    watch: Callable[[], None] = lambda: None,
) -> list[Tensor]:
    """Return what a function gives for each batch of images, on the CPU, with a method in evaluation mode."""
    was_training, found = method.training, []
    method.eval()
    try:
        with seeded("measure"):
            for images, _ in PlainBatches(split, BATCH, method.backbone.image_size, device):
                watch()
                found.append(function(images).cpu())
    finally:
        method.train(was_training)
    return found


def weakest(labels: NDArray[np.int64], said: NDArray[np.int64], classes: Sequence[str]) -> Weakest:
    """Return the class with the lowest accuracy, and what it is taken for most often.

    Args:
        labels: (N,) what the images show, N at least 1.
        said: (N,) what the model says.
        classes: Names of all classes.
    """
    right = {k: float((said[labels == k] == k).mean()) for k in np.unique(labels).tolist()}
    label = min(right, key=right.__getitem__)
    wrong = Counter(k for k in said[labels == label].tolist() if k != label)
    taken_for = classes[wrong.most_common(1)[0][0]] if wrong else None
    return Weakest(label=classes[label], accuracy=right[label], taken_for=taken_for)
