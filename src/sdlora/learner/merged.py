"""A taught learner as a plain model: nothing of this package in it."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import cast

import torch
from torch import nn

from sdlora.errors import ConfigError
from sdlora.heads import LinearHead
from sdlora.learner.state import State
from sdlora.methods import METHODS


def merged_model(state: State, method_name: str, classes: Sequence[str]) -> nn.Module:
    """Return the backbone's own model with everything learned folded in, and one linear head over all classes.

    Raises:
        ConfigError: If the method's function is not that of such a model.
    """
    if not state.method.mergeable:
        able = [name for name in METHODS if METHODS.get(name).mergeable and not METHODS.get(name).joint]
        raise ConfigError(
            f"what {method_name} learns cannot become a plain model", expected=f"one of {', '.join(able)}"
        )
    head = next(module for module in state.method.modules() if isinstance(module, LinearHead))
    model = copy.deepcopy(state.predictor.backbone.model)
    state.method.backbone.family.set_head(model, as_linear(head), classes)
    return model.eval().requires_grad_(False)


def as_linear(head: LinearHead) -> nn.Linear:
    """Return the blocks of a head as one layer."""
    blocks = [cast(nn.Linear, block) for block in head.blocks]
    weight = torch.cat([block.weight.detach() for block in blocks])
    linear = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    linear.bias = nn.Parameter(torch.cat([block.bias.detach() for block in blocks]), requires_grad=False)
    return linear
