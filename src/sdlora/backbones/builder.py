"""From a model to its blueprint, and from a blueprint and weights to a model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from accelerate import init_empty_weights
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from sdlora.backbones.blueprint import Blueprint, HuggingFaceBlueprint, TimmBlueprint
from sdlora.backbones.hugging_face import HuggingFaceViT, is_of_transformers
from sdlora.backbones.hugging_face_blueprint import build_hugging_face, hugging_face_blueprint
from sdlora.backbones.likeness import difference
from sdlora.backbones.timm_blueprint import build_timm, timm_blueprint
from sdlora.backbones.timm_vit import TimmViT
from sdlora.errors import ConfigError


def blueprint_of(model: nn.Module) -> TimmBlueprint | HuggingFaceBlueprint:
    """Return the blueprint of the model of a `sdlora.backbones.vit.Backbone`.

    Raises:
        ValueError: If there is something in it that no blueprint says; the message says what.
    """
    try:
        found = hugging_face_blueprint(model) if is_of_transformers(model) else _of_timm(model)
    except AttributeError as error:
        raise ValueError(f"it lacks a part: {error}") from error
    if other := difference(model, outline(found)):
        raise ValueError(other)
    return found


def outline(blueprint: Blueprint) -> nn.Module:
    """Build a model that has shapes and no numbers, and takes no memory.

    Raises:
        ValueError: If no such model can be built.
        ConfigError: If its library is not installed.
    """
    with torch.device("meta"):
        return _build(blueprint)


def built(blueprint: Blueprint, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Build a model around its weights, which it takes over.

    Args:
        blueprint: What to build.
        tensors: Exactly those of `outline`.

    Raises:
        ValueError: If no such model can be built, or the tensors are not its own.
        ConfigError: If its library is not installed.
    """
    with init_empty_weights(include_buffers=False):  # what a model counts or looks up is no weight, and is real
        model = _build(blueprint)
    try:
        model.load_state_dict(dict(tensors), strict=True, assign=True)
    except RuntimeError as error:
        raise ValueError(str(error).splitlines()[-1].strip()) from error
    return model


def _of_timm(model: nn.Module) -> TimmBlueprint:
    if type(model) is not VisionTransformer:
        raise ValueError(f"it is a {type(model).__name__}, not timm's VisionTransformer itself")
    return timm_blueprint(model)


def _build(blueprint: Blueprint) -> nn.Module:
    make: Any = build_timm if isinstance(blueprint, TimmBlueprint) else build_hugging_face
    family = TimmViT() if isinstance(blueprint, TimmBlueprint) else HuggingFaceViT()
    try:
        with torch.random.fork_rng(devices=[]):
            model = family.behead(make(blueprint))
    except ConfigError:
        raise
    except Exception as error:  # a constructor may raise whatever it likes on sizes that nobody has tried
        raise ValueError(f"no such model can be built: {type(error).__name__}: {error}") from error
    return model.eval().requires_grad_(False)
