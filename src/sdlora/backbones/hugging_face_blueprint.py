"""Reading the blueprint off an image classifier of transformers, and building the model from it."""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import nn

from sdlora.backbones.blueprint import HuggingFaceBlueprint
from sdlora.backbones.hugging_face import KINDS, TOWER_ALONE, kind_of
from sdlora.backbones.hugging_face_cache import import_transformers


def hugging_face_blueprint(model: nn.Module) -> HuggingFaceBlueprint:
    """Read a blueprint off a classifier; what it does not say is for `likeness` to find.

    Raises:
        ValueError: If its configuration says what a blueprint cannot, or a size is beyond its bounds.
        AttributeError: If its configuration lacks something.
    """
    config: Any = getattr(model, kind_of(model).attribute).config
    model_type = str(config.model_type).removesuffix(TOWER_ALONE)
    is_dinov2 = model_type == "dinov2"
    return HuggingFaceBlueprint(
        model_type=cast(Any, model_type),
        attention=config._attn_implementation,
        image_size=config.image_size,
        patch_size=config.patch_size,
        width=config.hidden_size,
        depth=config.num_hidden_layers,
        num_heads=config.num_attention_heads,
        mlp_dim=None if is_dinov2 else config.intermediate_size,
        mlp_ratio=config.mlp_ratio if is_dinov2 else None,
        activation=config.hidden_act,
        norm_eps=config.layer_norm_eps,
        qkv_bias=getattr(config, "qkv_bias", True),
        use_swiglu_ffn=getattr(config, "use_swiglu_ffn", False),
        use_mask_token=getattr(config, "use_mask_token", False),
    )


def build_hugging_face(blueprint: HuggingFaceBlueprint) -> nn.Module:
    """Build a classifier without its last layer, on the default device of the moment.

    Raises:
        ConfigError: If transformers is not installed.
        ValueError: If transformers cannot; its own errors may come instead.
    """
    transformers = import_transformers()
    given = blueprint
    values: dict[str, Any] = {
        "image_size": given.image_size,
        "patch_size": given.patch_size,
        "hidden_size": given.width,
        "num_hidden_layers": given.depth,
        "num_attention_heads": given.num_heads,
        "hidden_act": given.activation,
        "layer_norm_eps": given.norm_eps,
    }
    if given.model_type == "dinov2":
        values |= {"mlp_ratio": given.mlp_ratio, "use_swiglu_ffn": given.use_swiglu_ffn}
        config = transformers.Dinov2Config(**values, qkv_bias=given.qkv_bias, use_mask_token=given.use_mask_token)
    elif given.model_type == "vit":
        config = transformers.ViTConfig(**values, intermediate_size=given.mlp_dim, qkv_bias=given.qkv_bias)
    else:
        eyes = transformers.CLIPVisionConfig(**values, intermediate_size=given.mlp_dim)
        config = transformers.CLIPConfig(text_config={}, vision_config=eyes.to_dict())
    config.num_labels = 0
    made: nn.Module = getattr(transformers, KINDS[given.model_type].classifier)._from_config(
        config, attn_implementation=given.attention, dtype=torch.float32
    )
    return made
