"""A method's function as a plain model, for the methods whose function has that form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn

from sdlora.adapters.merge import merge
from sdlora.backbones.layer_classifier import LayerClassifier
from sdlora.errors import ConfigError
from sdlora.heads import LinearHead
from sdlora.heads.random_projection import RandomProjectionHead
from sdlora.methods.base import METHODS, Method
from sdlora.methods.linear_classifier import LinearClassifier


def plain_model(method: Method, classes: Sequence[str]) -> nn.Module:
    """Return a model of the backbone's own library that gives the method's logits for normalised images.

    What was learned is folded into its weights, the layer that predicts is its classifier, and it knows the names of
    its classes. The method stays as it is. Nothing of this package is in the model, unless the method predicts from
    several blocks: that is a `LayerClassifier` around the library's model.

    Args:
        method: Has learned at least one task.
        classes: Names of the classes in the order of the logits.

    Raises:
        ConfigError: If the method's function is not that of a plain model, or it has learned nothing.
    """
    if not (isinstance(method, LinearClassifier) and method.mergeable):
        raise ConfigError(
            f"{name_of(method)} cannot become a plain model: it trains {method.facts.trains}",
            expected=f"a model taught with {', '.join(_able())}",
            fix="sdlora export MODEL --to onnx",
        )
    head, backbone = predicting_layer(method), method.backbone
    model = merge(backbone.model)
    if method.feature_layers is None:
        backbone.family.set_head(model, head, classes)
    else:
        model = LayerClassifier(model, torch.tensor(method.feature_layers), head.weight, head.bias, classes)
    return model.eval().requires_grad_(False)


def _able() -> list[str]:
    """Return the names of the methods that can become a plain model, less the bounds that learn no task by itself."""
    return [name for name in METHODS if METHODS.get(name).mergeable and not METHODS.get(name).joint]


def is_plain(method: Method) -> bool:
    """Whether a method's function is that of a plain model."""
    return method.mergeable and not isinstance(getattr(method, "solved_head", None), RandomProjectionHead)


def predicting_layer(method: LinearClassifier) -> nn.Linear:
    """Return a copy of the one layer that gives a method's logits, from its features or the tokens of its blocks.

    Raises:
        ConfigError: If its head is not linear in these features, or it has learned nothing.
    """
    head = method.solved_head
    if head is None:
        return joined(method.head)
    if isinstance(head, RandomProjectionHead):
        raise ConfigError(
            f'{name_of(method)} with head = "ridge" cannot become a plain model: it predicts from random features, '
            "not by one linear layer",
            expected='head = "linear" or "discriminant"',
            fix="sdlora export MODEL --to onnx",
        )
    if not int(head.num_fitted):
        raise _untaught()
    weight = head.weight.clone()
    if method.feature_layers is not None:
        weight = method.backbone.weight_before_sketch(weight, len(method.feature_layers))
    return _layer(weight, head.bias.clone())


def joined(head: LinearHead) -> nn.Linear:
    """Return one layer that gives the logits of all blocks of a head.

    Raises:
        ConfigError: If it has no block yet.
    """
    if not len(head.blocks):
        raise _untaught()
    blocks = [cast(nn.Linear, block) for block in head.blocks]
    weight = torch.cat([block.weight.detach() for block in blocks])
    return _layer(weight, torch.cat([cast(Tensor, block.bias).detach() for block in blocks]))


def _layer(weight: Tensor, bias: Tensor) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
    layer.weight, layer.bias = (nn.Parameter(tensor, requires_grad=False) for tensor in (weight, bias))
    return layer


def _untaught() -> ConfigError:
    return ConfigError("no class was taught yet", expected="at least one task")


def name_of(method: Method) -> str:
    """Return the name under which a method is registered."""
    return next(name for name in METHODS if METHODS.get(name) is type(method))
