"""A method's function as a plain model, for the methods whose function has that form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from sdlora.adapters.merge import merge
from sdlora.errors import ConfigError
from sdlora.heads import LinearHead
from sdlora.methods.base import METHODS, Method


def plain_model(method: Method, classes: Sequence[str]) -> nn.Module:
    """Return a model of the backbone's own library that gives the method's logits for normalised images.

    What was learned is folded into its weights, the head is its classifier, and it knows the names of its classes.
    Nothing of this package is in it; the method stays as it is.

    Args:
        method: Has learned at least one task.
        classes: Names of the classes in the order of the logits.

    Raises:
        ConfigError: If the method's function is not that of a plain model, or it has learned nothing.
    """
    if not method.mergeable:
        raise ConfigError(
            f"{name_of(method)} cannot become a plain model: it trains {method.facts.trains}",
            expected=f"a model taught with {', '.join(_able())}",
            fix="sdlora export MODEL --to onnx",
        )
    model, backbone = merge(method.backbone.model), method.backbone
    backbone.family.set_head(model, joined(cast(Any, method).head), classes)
    return model.eval().requires_grad_(False)


def _able() -> list[str]:
    """Return the names of the methods that can become a plain model, less the bounds that learn no task by itself."""
    return [name for name in METHODS if METHODS.get(name).mergeable and not METHODS.get(name).joint]


def joined(head: LinearHead) -> nn.Linear:
    """Return one layer that gives the logits of all blocks of a head.

    Raises:
        ConfigError: If it has no block yet.
    """
    if not len(head.blocks):
        raise ConfigError("no class was taught yet", expected="at least one task")
    blocks = [cast(nn.Linear, block) for block in head.blocks]
    weight = torch.cat([block.weight.detach() for block in blocks])
    layer = nn.Linear(head.feature_dim, len(weight), device="meta")
    layer.weight = nn.Parameter(weight, requires_grad=False)
    layer.bias = nn.Parameter(torch.cat([cast(Tensor, block.bias).detach() for block in blocks]), requires_grad=False)
    return layer


def name_of(method: Method) -> str:
    """Return the name under which a method is registered."""
    return next(name for name in METHODS if METHODS.get(name) is type(method))
