"""Reading the blueprint off timm's VisionTransformer, and building the model from it."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from timm.layers.activations import GELUTanh, QuickGELU
from timm.layers.mlp import GluMlp, Mlp, SwiGLU, SwiGLUPacked
from timm.layers.norm import LayerNorm, LayerNormFp32, RmsNorm, RmsNormFp32, SimpleNorm, SimpleNormFp32
from timm.layers.patch_embed import PatchEmbed
from timm.models.vision_transformer import Block, ResPostBlock, VisionTransformer
from torch import nn

from sdlora.backbones.blueprint import TimmBlueprint
from sdlora.backbones.glyph_vit import ConvStem

BLOCKS: dict[str, Any] = {"Block": Block, "ResPostBlock": ResPostBlock}
STEMS: dict[str, Any] = {"PatchEmbed": PatchEmbed, "ConvStem": ConvStem}
MLPS: dict[str, Any] = {
    "Mlp": Mlp,
    "GluMlp": GluMlp,
    "SwiGLUPacked": SwiGLUPacked,
    "SwiGLU": SwiGLU,
}
ACTIVATIONS: dict[str, Any] = {
    "GELU": nn.GELU,
    "GELUTanh": GELUTanh,
    "QuickGELU": QuickGELU,
    "SiLU": nn.SiLU,
    "ReLU": nn.ReLU,
    "Mish": nn.Mish,
    "Sigmoid": nn.Sigmoid,
    "Tanh": nn.Tanh,
}
NORMS: dict[str, Any] = {
    "LayerNorm": LayerNorm,
    "LayerNormFp32": LayerNormFp32,
    "RmsNorm": RmsNorm,
    "RmsNormFp32": RmsNormFp32,
    "SimpleNorm": SimpleNorm,
    "SimpleNormFp32": SimpleNormFp32,
    "nn.LayerNorm": nn.LayerNorm,
}
"""What the names in a blueprint mean, and nothing else does."""


def timm_blueprint(model: VisionTransformer) -> TimmBlueprint:
    """Read a blueprint off a model without classifier; what it does not say is for `likeness` to find.

    Raises:
        ValueError: If a part is none that a blueprint can name, or a size is beyond its bounds.
        AttributeError: If a part is not where timm has it.
    """
    block: Any = model.blocks[0]
    stem, attention, mlp = model.patch_embed, block.attn, block.mlp
    return TimmBlueprint(
        image_size=_square(stem.img_size, "images"),
        patch_size=_square(stem.patch_size, "patches"),
        width=model.embed_dim,
        depth=len(model.blocks),
        num_heads=attention.num_heads,
        block=cast(Any, _name(block, BLOCKS)),
        stem=cast(Any, _name(stem, STEMS)),
        mlp=cast(Any, _mlp(mlp)),
        mlp_dim=(mlp.fc1_g if isinstance(mlp, SwiGLU) else mlp.fc1).out_features,
        activation=cast(Any, _name(mlp.act, ACTIVATIONS)),
        norm=cast(Any, _name(block.norm1, NORMS)),
        norm_eps=float(block.norm1.eps),
        stem_norm=cast(Any, _name(stem.norm, NORMS) if _has(stem, "norm") else None),
        stem_norm_eps=float(stem.norm.eps) if _has(stem, "norm") else None,
        global_pool=cast(Any, model.global_pool),
        pool_include_prefix=model.pool_include_prefix and model.global_pool != "prr",  # which sets it by itself
        qkv_bias=attention.qkv.bias is not None,
        qk_norm=_has(attention, "q_norm"),
        scale_attn_norm=_has(attention, "norm"),
        scale_mlp_norm=_has(mlp, "norm"),
        proj_bias=attention.proj.bias is not None,
        layer_scale=_has(block, "ls1"),
        class_token=model.has_class_token,
        reg_tokens=model.num_reg_tokens,
        has_pos_embed=model.pos_embed is not None,
        no_embed_class=model.no_embed_class,
        pre_norm=_has(model, "norm_pre"),
        final_norm=_has(model, "norm") or _has(model, "fc_norm"),
        fc_norm=_has(model, "fc_norm"),
        dynamic_img_size=model.dynamic_img_size,
        dynamic_img_pad=bool(getattr(stem, "dynamic_img_pad", False)),
    )


def build_timm(blueprint: TimmBlueprint) -> VisionTransformer:
    """Build a model, on the default device of the moment.

    Raises:
        ValueError: If timm cannot; its own errors may come instead.
    """
    given = blueprint
    return VisionTransformer(
        img_size=given.image_size,
        patch_size=given.patch_size,
        embed_dim=given.width,
        depth=given.depth,
        num_heads=given.num_heads,
        mlp_ratio=(given.mlp_dim + 0.5) / given.width,  # timm cuts the product to a whole number
        block_fn=BLOCKS[given.block],
        embed_layer=STEMS[given.stem],
        mlp_layer=MLPS[given.mlp],
        act_layer=ACTIVATIONS[given.activation],
        norm_layer=partial(NORMS[given.norm], eps=given.norm_eps),
        embed_norm_layer=given.stem_norm and partial(NORMS[given.stem_norm], eps=given.stem_norm_eps),
        init_values=1.0 if given.layer_scale else None,
        pos_embed="learn" if given.has_pos_embed else "none",
        num_classes=0,
        **given.model_dump(include=ALIKE),
    )


ALIKE = {
    *("global_pool", "pool_include_prefix", "qkv_bias", "qk_norm", "scale_attn_norm", "scale_mlp_norm", "proj_bias"),
    *("class_token", "reg_tokens", "no_embed_class", "pre_norm", "final_norm", "fc_norm"),
    *("dynamic_img_size", "dynamic_img_pad"),
}
"""What timm's constructor calls as a blueprint does."""


def _name(part: nn.Module, known: dict[str, Any]) -> str:
    for name, kind in known.items():
        if type(part) is kind:
            return name
    raise ValueError(f"it has a {type(part).__name__} where one of {', '.join(known)} can be described")


def _mlp(mlp: nn.Module) -> str:
    is_packed = type(mlp) is GluMlp and not mlp.gate_last
    return "SwiGLUPacked" if is_packed else _name(mlp, {key: MLPS[key] for key in ("Mlp", "GluMlp", "SwiGLU")})


def _has(owner: nn.Module, part: str) -> bool:
    return not isinstance(getattr(owner, part, None), nn.Identity | None)


def _square(sides: tuple[int, int], what: str) -> int:
    if sides[0] != sides[1]:
        raise ValueError(f"its {what} are no squares: {sides[0]} x {sides[1]}")
    return int(sides[0])
