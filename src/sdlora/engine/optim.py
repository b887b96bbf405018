"""Optimisers from a method's parameter groups, and schedules as functions of the step.

A schedule has no state, so a resumed run needs none, and nothing can step it twice.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor
from torch.optim import SGD, Adam, AdamW, Optimizer

from sdlora.engine.options import OptimOptions, Steps
from sdlora.methods.base import ParamGroup


def make_optimizer(groups: list[ParamGroup], options: OptimOptions) -> Optimizer:
    """Build the optimiser of one task; its fused kernels update all parameters in one pass over memory."""
    scaled = [{"params": g["params"], "lr_scale": g.get("lr_scale", 1.0)} for g in groups if g["params"]]
    lr, weight_decay = options.lr, options.weight_decay
    if options.name == "sgd":
        return SGD(scaled, lr, options.momentum, weight_decay=weight_decay, fused=True)
    kind = AdamW if options.name == "adamw" else Adam
    return kind(scaled, lr, weight_decay=weight_decay, fused=True)


def lr_at(options: OptimOptions, step: int, *, steps_per_epoch: int, num_epochs: int) -> float:
    """Return the learning rate of a step, counted from 0 in its task.

    cosine:  lr (1 + cos(pi step / num_steps)) / 2
    steps:   lr factor^(number of listed epochs begun)
    """
    if options.schedule == "cosine":
        return options.lr * (1 + math.cos(math.pi * step / (steps_per_epoch * num_epochs))) / 2
    if isinstance(options.schedule, Steps):
        epoch = step // steps_per_epoch
        return options.lr * options.schedule.factor ** sum(epoch >= begun for begun in options.schedule.epochs)
    return options.lr


def set_lr(optimizer: Optimizer, lr: float) -> None:
    """Give every group its share of the learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = lr * group["lr_scale"]


def optimizer_state(optimizer: Optimizer) -> dict[str, Tensor]:
    """Return what the optimiser remembers, flat: ``"<parameter>.<name>"`` to tensor."""
    state: Mapping[int, Mapping[str, Any]] = optimizer.state_dict()["state"]
    return {
        f"{index}.{name}": value
        for index, values in state.items()
        for name, value in values.items()
        if isinstance(value, Tensor)
    }


def load_optimizer_state(optimizer: Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimizer_state` returned, into an optimiser of the same groups."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
