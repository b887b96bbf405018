"""Costs without a run: a method learns made-up pictures, which cost what others cost."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from sdlora.methods.base import Method
from sdlora.task import Task, TaskData

STEPS, PICTURES = 3, 2  # optimiser steps of a task; pictures of a class in each


@dataclass(frozen=True)
class Patterns:
    """Batches of made-up pictures, every class of a task in each: a pattern of squares, and noise."""

    task: Task
    image_size: int
    device: torch.device

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        generator = torch.Generator().manual_seed(self.task.index)
        squares = torch.rand(self.task.num_classes, 3, 4, 4, generator=generator)
        patterns = F.interpolate(squares, size=self.image_size).repeat(PICTURES, 1, 1, 1)
        labels = torch.arange(self.task.class_offset, self.task.num_seen).repeat(PICTURES)
        for _ in range(STEPS):
            noise = torch.rand(patterns.shape, generator=generator)
            yield (0.9 * patterns + 0.1 * noise).to(self.device), labels.to(self.device)

    def __len__(self) -> int:
        return STEPS


def teach_made_up(method: Method, tasks: Sequence[Task], *, lr: float = 1e-3) -> tuple[Tensor, Tensor]:
    """Call every hook for every task, with a few steps of SGD, so that each part of the state is in use.

    Numbers are drawn from torch's global generator.

    Args:
        method: Just constructed, on its device.
        tasks: At least one; for a method with ``joint`` all classes in a single task.
        lr: Learning rate.

    Returns:
        Images (N, 3, H, W) of the last task and their class ids (N,).
    """
    for task in tasks:
        patterns = Patterns(task, method.backbone.image_size, method.backbone.mean.device)
        data = TaskData(train=patterns, plain=patterns)
        method.begin_task(task)
        method.prepare(data)
        if method.num_epochs != 0 and any(group["params"] for group in method.param_groups()):
            _train(method, patterns, lr)
        method.end_task(data)
    return next(iter(patterns))


def _train(method: Method, patterns: Patterns, lr: float) -> None:
    parameters = [parameter for group in method.param_groups() for parameter in group["params"]]
    optimizer = torch.optim.SGD(parameters, lr=lr)
    for images, labels in patterns:
        optimizer.zero_grad()
        torch.stack(list(method.losses(images, labels).values())).sum().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    optimizer.zero_grad()
