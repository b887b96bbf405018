"""What one prediction takes: passes through the backbone and floating-point operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torch.utils.hooks import RemovableHandle

from sdlora.adapters.merge import merge_, merged
from sdlora.backbones.vit import Backbone
from sdlora.methods.base import Method


@contextmanager
def as_served(method: Method) -> Iterator[None]:
    """Let a method predict as it does in use: in evaluation mode, with its adapters merged."""
    was_training = method.training
    method.eval()
    try:
        with merged(method.backbone):
            yield
    finally:
        method.train(was_training)


def plain_classifier(backbone: Backbone, num_classes: int) -> nn.Module:
    """Return what all costs are compared with: an unadapted backbone and a linear head, on the backbone's device.

    Args:
        backbone: Of a method that has begun no task, or unadapted; its adapters, which change nothing yet, are merged.
        num_classes: Rows of the head.
    """
    merge_(backbone.model)
    head = nn.Linear(backbone.feature_dim, num_classes, device=backbone.mean.device)
    return nn.Sequential(backbone, head).eval()


@torch.no_grad()
def count_flops(predict: Callable[[Tensor], Tensor], images: Tensor) -> int:
    """Return the floating-point operations of products and convolutions; a multiplication with an addition is two."""
    with FlopCounterMode(display=False) as counter:
        predict(images)
    return int(counter.get_total_flops())


class Passes:
    """Counts how often images go through the backbone's blocks while it is entered, by a hook on every block.

    Args:
        method: Whose blocks; those of a second copy of the backbone that it may have count too.
    """

    def __init__(self, method: Method) -> None:
        self.num_blocks, self.seen = len(method.backbone.blocks), 0
        kind = type(method.backbone.blocks[0])
        self._blocks = [part for part in method.modules() if type(part) is kind]
        self._hooks: list[RemovableHandle] = []

    def __enter__(self) -> Passes:
        self._hooks = [block.register_forward_pre_hook(self._count) for block in self._blocks]
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _count(self, block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        self.seen += len(inputs[0])

    def of(self, num_images: int) -> float:
        """Return passes for each of so many images: 1 for a plain classifier; half of a batch is half a pass."""
        return self.seen / (self.num_blocks * num_images)


@torch.no_grad()
def count_passes(method: Method, images: Tensor) -> float:
    """Return how often an image goes through the backbone's blocks in one prediction."""
    with Passes(method) as passes:
        method(images)
    return passes.of(len(images))
