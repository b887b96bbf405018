"""Costs that follow from shapes alone, without weights, data or arithmetic: those of a method at any scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from sdlora.costs.forward import Passes, as_served, count_flops
from sdlora.costs.kept import kept_numbers
from sdlora.heads import LinearHead
from sdlora.heads.cosine import CosineHead
from sdlora.methods.base import Method
from sdlora.task import Task


@dataclass(frozen=True)
class Footprint:
    """What a method takes after some tasks.

    Attributes:
        passes: Passes through the backbone in a prediction.
        flops: Floating-point operations of a prediction, merged where the method merges.
        learnable: Parameters trained on the last task, without classifiers.
        kept: Numbers kept from old tasks; room that data may fill in part counts in full.
    """

    passes: float
    flops: int
    learnable: int
    kept: int


def footprint(method: Method, tasks: Sequence[Task]) -> Footprint:
    """Begin every task and read off what a prediction takes, by a forward pass in which no number is computed.

    Args:
        method: Just constructed; of no use afterwards.
        tasks: At least one; for a method with ``joint`` all classes in a single task.
    """
    for task in tasks:
        method.begin_task(task)
    learnable = count_learnable(method)
    for name, count in method.named_buffers():
        if name.rpartition(".")[2] == "num_fitted":  # heads that are solved from data predict as if they had been
            count.fill_(len(tasks))
    side = method.backbone.image_size
    with as_served(method), FakeTensorMode(allow_non_fake_inputs=True), Passes(method) as passes:
        flops = count_flops(method, torch.empty(1, 3, side, side))
    return Footprint(passes.of(1), flops, learnable, kept_numbers(method))


def count_learnable(method: Method) -> int:
    """Return how many numbers the optimiser would train now, without those of classifiers."""
    heads = (part for part in method.modules() if isinstance(part, LinearHead | CosineHead))
    in_heads = {parameter for head in heads for parameter in head.parameters()}
    trained = (parameter for group in method.param_groups() for parameter in group["params"])
    return sum(parameter.numel() for parameter in trained if parameter not in in_heads)
