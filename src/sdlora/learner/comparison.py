"""Held-out images after a lesson: what the model says, and what class means would have said.

Class means are the simplest classifier on the same features: the class whose mean feature is nearest by angle. Nothing
is kept for it. A `DiscriminantHead` keeps the means of all classes it knows, so they compete among all of them, on the
features that the head sees; one pass gives both answers. Where a head is trained nothing is kept of earlier classes, so
model and means compete among the classes of the lesson alone, on the features that the model had before it, which takes
a pass over the lesson's images. Methods that train nothing in a lesson and keep no such means are not compared.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from sdlora.bundle import Comparison
from sdlora.heads.discriminant import DiscriminantHead
from sdlora.learner.measure import features, outputs
from sdlora.learner.plan import Plan
from sdlora.methods import Method
from sdlora.methods.linear_classifier import LinearClassifier


def compared(
    before: Method, after: Method, plan: Plan, device: torch.device, *, has_trained: bool
) -> tuple[NDArray[np.int64], Comparison | None]:
    """Return what the model says of the held-out images (N,), and how class means compare.

    Args:
        before: The method as it was before the lesson.
        after: The method as it is now.
        plan: The lesson.
        device: Where they are.
        has_trained: Whether the lesson trained anything.
    """
    split = plan.held_out
    if not len(split):
        return np.empty(0, np.int64), None
    if isinstance(after, LinearClassifier) and isinstance(after.solved_head, DiscriminantHead):
        head = after.solved_head

        def both(images: Tensor) -> Tensor:
            seen = after.solved_features(images).float()
            return torch.stack([head(seen).argmax(dim=1), _nearest(seen, head.means)], dim=1)

        said, nearest = torch.cat(outputs(after, both, split, device)).numpy().T
        return said, _comparison(len(head.means), said == split.labels, nearest == split.labels)
    logits = torch.cat(outputs(after, after, split, device))
    said = logits.argmax(dim=1).numpy()
    if not has_trained or len(plan.new) < 2:
        return said, None
    first = logits.shape[1] - len(plan.new)
    labels = torch.from_numpy(plan.train.labels) - first
    seen = features(before, plan.train, device)
    means = torch.stack([seen[labels == label].mean(dim=0) for label in range(len(plan.new))])
    nearest = _nearest(features(before, split, device), means).numpy()
    among = logits[:, first:].argmax(dim=1).numpy()
    return said, _comparison(len(plan.new), among == split.labels - first, nearest == split.labels - first)


def _nearest(seen: Tensor, means: Tensor) -> Tensor:
    """Return the class (N,) whose mean (K, D) is nearest to each feature (N, D) by angle."""
    return (F.normalize(seen, dim=1) @ F.normalize(means, dim=1).T).argmax(dim=1)


def _comparison(num_classes: int, own: NDArray[np.bool_], means: NDArray[np.bool_]) -> Comparison:
    return Comparison(num_classes=num_classes, accuracy=float(own.mean()), class_means=float(means.mean()))
