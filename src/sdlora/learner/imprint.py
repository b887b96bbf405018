"""A lesson of one class: its row of the head is written down instead of trained.

The cross-entropy over a single class is zero whatever the row says, and over all rows, with no image of the others, it
only ever raises the new one. So nothing is trained:

    row = n u / |u|,   u = mean f(x) - mean f(x turned by 90, 180 and 270 degrees),   bias = mean of the old biases

with n the mean length of the old rows. What the turned pictures share with the upright ones is what all pictures
share; what is left points to the class. Backbone and old rows stay as they are, and nothing of old data is needed.
Measured against six other ways in docs/lab_log.md, "A lesson of one class".
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from sdlora.engine.checkpoint import check_weights
from sdlora.errors import DataError
from sdlora.heads import LinearHead
from sdlora.learner.measure import features
from sdlora.methods import METHODS, Method
from sdlora.methods.linear_classifier import LinearClassifier
from sdlora.streams import TaskSplit

TURNS = (1, 2, 3)  # quarters of a circle


def needs_imprint(method: Method, num_new: int) -> bool:
    """Whether a lesson has a single class, and the method would have to train on it.

    Raises:
        DataError: If the method can do neither.
    """
    if num_new != 1 or not any(isinstance(module, LinearHead) for module in method.modules()):
        return False
    if not isinstance(method, LinearClassifier):
        able = [name for name in METHODS if issubclass(METHODS.get(name), LinearClassifier)]
        raise DataError(
            "one new class alone cannot be learned by this method",
            expected="two classes or more",
            fix=f"add a second class; able are {', '.join(able)} and methods of class means",
        )
    return True


@torch.no_grad()
def imprint(method: Method, split: TaskSplit, device: torch.device) -> None:
    """Add one class to a taught method in place.

    Args:
        method: A `LinearClassifier` that knows two classes or more.
        split: Images of the class.
        device: Where the method is.
    """
    head = cast(LinearClassifier, method).head
    rows, biases = _rows(head)
    upright = features(method, split, device).mean(0)
    turned = torch.stack([features(method, split, device, turns=turns).mean(0) for turns in TURNS]).mean(0)
    direction = nn.functional.normalize((upright - turned).to(rows), dim=0)
    grow(method)
    block = cast(nn.Linear, head.blocks[-1])
    block.weight.copy_(rows.norm(dim=1).mean() * direction[None])
    block.bias.copy_(biases.mean())
    check_weights(method)


def grow(method: Method) -> None:
    """Make room for one class in the head alone; the rest of the method does not hear of it."""
    cast(LinearClassifier, method).head.grow(1)


def _rows(head: LinearHead) -> tuple[Tensor, Tensor]:
    blocks = [cast(nn.Linear, block) for block in head.blocks]
    return torch.cat([block.weight for block in blocks]), torch.cat([block.bias for block in blocks])
