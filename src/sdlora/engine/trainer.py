"""The optimisation of one task: its optimiser, learning rate, and guard against numbers that are none."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from accelerate import Accelerator
from torch import Tensor

from sdlora.engine.guard import Guard
from sdlora.engine.optim import load_optimizer_state, lr_at, make_optimizer, optimizer_state, set_lr
from sdlora.engine.options import FitOptions
from sdlora.engine.seeding import seeded
from sdlora.methods.base import Method, ParamGroup
from sdlora.task import Task


class Trainer:
    """Takes the training steps of one task.

    Args:
        method: Has begun and prepared the task.
        task: The task.
        groups: What to train.
        options: How to train.
        accelerator: Gives precision and backward.
        num_steps: Steps of an epoch.
        num_epochs: Epochs of the task.
    """

    def __init__(
        self,
        method: Method,
        task: Task,
        groups: list[ParamGroup],
        options: FitOptions,
        accelerator: Accelerator,
        num_steps: int,
        num_epochs: int,
    ) -> None:
        self.method, self.task, self.options, self.accelerator = method, task, options, accelerator
        self.num_steps, self.num_epochs = num_steps, num_epochs
        self.optimizer = make_optimizer(groups, options.optim)
        names = {parameter: name for name, parameter in method.named_parameters()}
        deferred = accelerator.device.type == "cuda"
        self.guard = Guard(self.optimizer, names, clip_norm=options.optim.clip_norm, deferred=deferred)

    def lr(self, epoch: int, step: int) -> float:
        """Return the learning rate of a step of an epoch, both from 0."""
        done = epoch * self.num_steps + step
        return lr_at(self.options.optim, done, steps_per_epoch=self.num_steps, num_epochs=self.num_epochs)

    def step(self, images: Tensor, labels: Tensor, epoch: int, step: int) -> dict[str, Tensor]:
        """Take one step and return its loss terms.

        Raises:
            NumericalError: If a term or a gradient is not finite; the step is not taken.
        """
        lr = self.lr(epoch, step)
        with seeded(self.options.seed, self.task.index, epoch, step, "losses"):
            with self.accelerator.autocast():
                terms = self.method.losses(images, labels)
            self.accelerator.backward(torch.stack(list(terms.values())).sum())
        self.guard.check(
            terms, f"task {self.task.index + 1}, epoch {epoch + 1}, step {step + 1}, at a learning rate of {lr:g}"
        )
        set_lr(self.optimizer, lr)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return terms

    @property
    def num_parameters(self) -> int:
        """Numbers that are trained."""
        return sum(p.numel() for group in self.optimizer.param_groups for p in group["params"])

    def load(self, state: Mapping[str, Tensor]) -> None:
        """Go on with what `state` returned; empty for a new optimiser."""
        if state:
            load_optimizer_state(self.optimizer, state)

    def state(self) -> dict[str, Tensor]:
        """Return what the optimiser remembers."""
        return optimizer_state(self.optimizer)
