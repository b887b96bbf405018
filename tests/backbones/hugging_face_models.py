"""Random models of the transformers library, small enough for tests."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers
from torch import nn

SHAPE = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "image_size": 16,
    "patch_size": 8,
}
WORDS = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}


def _clip() -> Any:
    eyes = transformers.CLIPVisionConfig(**SHAPE).to_dict()
    words = {**WORDS, "vocab_size": 64, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    return transformers.CLIPConfig(vision_config=eyes, text_config=words)


MODELS: dict[str, Callable[[], nn.Module]] = {
    "ViTModel": lambda: transformers.ViTModel(transformers.ViTConfig(**SHAPE)),
    "ViTForImageClassification": lambda: transformers.ViTForImageClassification(transformers.ViTConfig(**SHAPE)),
    "Dinov2Model": lambda: transformers.Dinov2Model(transformers.Dinov2Config(**SHAPE)),
    "Dinov2ForImageClassification": lambda: transformers.Dinov2ForImageClassification(
        transformers.Dinov2Config(**SHAPE)
    ),
    "CLIPVisionModel": lambda: transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**SHAPE)),
    "CLIPVisionModelWithProjection": lambda: transformers.CLIPVisionModelWithProjection(
        transformers.CLIPVisionConfig(**SHAPE)
    ),
    "CLIPModel": lambda: transformers.CLIPModel(_clip()),
    "CLIPForImageClassification": lambda: transformers.CLIPForImageClassification(_clip()),
}
CLASSIFIERS = tuple(name for name in MODELS if name.endswith("ForImageClassification"))


def make(name: str, seed: int = 0) -> nn.Module:
    """Return a random model, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MODELS[name]().eval()
