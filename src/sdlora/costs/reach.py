"""How far the task loss reaches into what a method trains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sdlora.methods.base import Method

TASK_LOSS = "cross_entropy"


@dataclass(frozen=True)
class Reach:
    """Names of parameters, in the order of the method's groups.

    Attributes:
        trained: Handed to the optimiser, and given a gradient by the losses; what a model never uses does not learn.
        unreached: Of these, without gradient from the task loss.
        unused: Of these, no operand of the logits. A prompt that is chosen for no image of a batch is one all the same.
    """

    trained: tuple[str, ...]
    unreached: tuple[str, ...]
    unused: tuple[str, ...]

    @property
    def end_to_end(self) -> bool:
        """Whether something is trained, all of it by the task loss, and all of it predicts."""
        return bool(self.trained) and not self.unreached and not self.unused


def measure_reach(method: Method, images: Tensor, labels: Tensor) -> Reach:
    """Follow the gradients of the task loss, and of the logits, to what is trained on the newest task.

    Args:
        method: Has learned the task; nothing of it changes.
        images: (N, 3, H, W) of the newest task.
        labels: (N,) their class ids.
    """
    names = {parameter: name for name, parameter in method.named_parameters()}
    given = [parameter for group in method.param_groups() for parameter in group["params"]]
    if not given:
        return Reach((), (), ())
    terms, logits = method.losses(images, labels), method(images)
    total = torch.stack([*terms.values()]).sum() if terms else None
    of_all, of_task = _gradients(total, given), _gradients(terms.get(TASK_LOSS), given)
    of_logits = _gradients(logits.sum(), given)
    trained = [(names[given[i]], i) for i, gradient in enumerate(of_all) if _is_any(gradient)]
    return Reach(
        tuple(name for name, _ in trained),
        tuple(name for name, i in trained if not _is_any(of_task[i])),
        tuple(name for name, i in trained if of_logits[i] is None),
    )


def _is_any(gradient: Tensor | None) -> bool:
    return gradient is not None and bool(gradient.any())


def _gradients(value: Tensor | None, parameters: Sequence[nn.Parameter]) -> Sequence[Tensor | None]:
    if value is None or not value.requires_grad:
        return [None] * len(parameters)
    return torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
