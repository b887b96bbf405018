"""Rows of the head that are written down instead of trained: a lesson of one class, and known classes once more.

The cross-entropy over a single class is zero whatever its row says, and over all rows, with no image of the others, it
only ever raises the new one. So the row is computed:

    row = n u / |u|,   u = mean f(x) - mean f(x turned by 90, 180 and 270 degrees),   bias = mean of the old biases

with n the mean length of the old rows. What the turned pictures share with the upright ones is what all pictures
share; what is left points to the class. A known class is turned towards u by a share b, its length and bias kept:

    row' = |row| v / |v|,     v = (1 - b) row / |row| + b u / |u|

Backbone and all other rows stay as they are, and nothing of old data is needed. Measured against other ways in
docs/lab_log.md, "A lesson of one class" and "Known classes once more".
"""

from __future__ import annotations

from dataclasses import replace
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdlora.engine.checkpoint import check_weights
from sdlora.errors import DataError
from sdlora.heads import LinearHead
from sdlora.learner.measure import features
from sdlora.methods import METHODS, Method
from sdlora.methods.linear_classifier import LinearClassifier
from sdlora.streams import TaskSplit

TURNS = (1, 2, 3)  # quarters of a circle
BLEND = 0.25  # of a known class that is taught again


def needs_imprint(method: Method, num_new: int) -> bool:
    """Whether a lesson has a single class, and the method would have to train on it.

    Raises:
        DataError: If the method can do neither.
    """
    has_rows = any(isinstance(module, LinearHead) for module in method.modules())
    if num_new != 1 or not has_rows:
        return False
    _check(method, "one new class alone cannot be learned by this method", "two classes or more")
    return True


@torch.no_grad()
def imprint(method: Method, split: TaskSplit, device: torch.device) -> None:
    """Add one class to a taught method in place.

    Args:
        method: A `LinearClassifier` that knows two classes or more.
        split: Images of the class.
        device: Where the method is.
    """
    blocks = _blocks(method)
    rows, biases = torch.cat([block.weight for block in blocks]), torch.cat([block.bias for block in blocks])
    direction = _direction(method, split, device)
    grow(method)
    new = _blocks(method)[-1]
    new.weight.copy_(rows.norm(dim=1).mean() * direction)
    new.bias.copy_(biases.mean())
    check_weights(method)


@torch.no_grad()
def refresh(method: Method, split: TaskSplit, device: torch.device) -> None:
    """Turn the rows of known classes towards new images of them, in place.

    Args:
        method: A taught one.
        split: Images of known classes, labelled with outputs of the model.
        device: Where the method is.

    Raises:
        DataError: If the method has no rows to turn.
    """
    _check(method, "known classes cannot be taught again with this method", "new classes only")
    rows = [row for block in _blocks(method) for row in block.weight]
    for label in np.unique(split.labels).tolist():
        of_class = split.labels == label
        part = replace(split, ids=split.ids[of_class], labels=split.labels[of_class])
        row, direction = rows[label], _direction(method, part, device)
        turned = (1 - BLEND) * F.normalize(row, dim=0) + BLEND * direction
        row.copy_(row.norm() * F.normalize(turned, dim=0))
    check_weights(method)


def grow(method: Method) -> None:
    """Make room for one class in the head alone; the rest of the method does not hear of it."""
    cast(LinearClassifier, method).head.grow(1)


def _direction(method: Method, split: TaskSplit, device: torch.device) -> Tensor:
    """Return u / |u| of images of one class: (D,)."""
    upright = features(method, split, device).mean(0)
    turned = torch.stack([features(method, split, device, turns=turns).mean(0) for turns in TURNS]).mean(0)
    return F.normalize(upright - turned, dim=0).to(device)


def _blocks(method: Method) -> list[nn.Linear]:
    return [cast(nn.Linear, block) for block in cast(LinearClassifier, method).head.blocks]


def _check(method: Method, what: str, expected: str) -> None:
    if not isinstance(method, LinearClassifier):
        able = [name for name in METHODS if issubclass(METHODS.get(name), LinearClassifier)]
        raise DataError(what, expected=expected, fix=f"a model of one of the methods {', '.join(able)} can")
