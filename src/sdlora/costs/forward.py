"""What one prediction takes: passes through the backbone and floating-point operations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from sdlora.adapters.merge import merge_, unmerge_
from sdlora.backbones.vit import Backbone
from sdlora.methods.base import Method


@contextmanager
def as_served(method: Method) -> Iterator[None]:
    """Let a method predict as it does in use: in evaluation mode, and merged if it can be."""
    was_training = method.training
    method.eval()
    adapters = merge_(method.backbone.model) if method.mergeable else {}
    try:
        yield
    finally:
        unmerge_(method.backbone.model, adapters)
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


@torch.no_grad()
def count_passes(method: Method, images: Tensor) -> float:
    """Return how often an image goes through the backbone's blocks in one prediction: 1 for a plain classifier.

    Counted by a hook on every block of the method, in images: a pass of half of the batch is half a pass.
    """
    blocks = method.backbone.blocks
    kind, seen = type(blocks[0]), 0

    def count(block: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        nonlocal seen
        seen += len(inputs[0])

    hooks = [part.register_forward_pre_hook(count) for part in method.modules() if type(part) is kind]
    try:
        method(images)
    finally:
        for hook in hooks:
            hook.remove()
    return seen / (len(blocks) * len(images))
