"""Vision transformers for tests: ViT-B/16 without weights, and a forward pass as loops in float64."""

from __future__ import annotations

import math
from functools import cache

import timm
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from sdlora.backbones.glyph_vit import glyph_vit
from sdlora.backbones.vit import Backbone, load_backbone


@cache
def vit_base() -> Backbone:
    """Return ViT-B/16, random; for shapes and counts."""
    return Backbone(timm.create_model("vit_base_patch16_224", pretrained=False), name="vit_base", sha256="random")


def glyph_shape() -> Backbone:
    """Return a backbone of the shipped one's shape, random."""
    return Backbone(glyph_vit(), name="glyph_shape", sha256="random")


def own_vit(seed: int = 0, **options: object) -> VisionTransformer:
    """Return a vision transformer of sizes that no name stands for, random, with a head of three classes."""
    shape = {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "num_classes": 3}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return VisionTransformer(**{**shape, **options}).eval()  # type: ignore[arg-type]


def strong_vit(**options: int) -> Backbone:
    """Return the untrained backbone with larger weights, so that its attention is far from uniform."""
    backbone = load_backbone("untrained_vit", **options)
    generator = torch.Generator().manual_seed(5)
    for parameter in backbone.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=generator)
    return backbone


def attend(attention: nn.Module, x: Tensor, prefix: Tensor | None = None) -> Tensor:
    """Return one image's attention, query by query and head by head.

    Args:
        attention: timm's Attention, with float64 weights.
        x: (L, D), float64.
        prefix: (2, P, D), keys before values.
    """
    width = x.shape[1]
    heads, size = attention.num_heads, width // attention.num_heads
    weight, bias = attention.qkv.weight, attention.qkv.bias
    queries, keys, values = (
        x @ weight[i * width : (i + 1) * width].T + bias[i * width : (i + 1) * width] for i in range(3)
    )
    outputs = []
    for head in range(heads):
        own = slice(head * size, (head + 1) * size)
        q, k, v = attention.q_norm(queries[:, own]), attention.k_norm(keys[:, own]), values[:, own]
        if prefix is not None:
            k, v = torch.cat([prefix[0][:, own], k]), torch.cat([prefix[1][:, own], v])
        rows = []
        for query in q:
            scores = torch.stack([(query * key).sum() / math.sqrt(size) for key in k])
            shares = scores.exp() / scores.exp().sum()
            rows.append(sum(share * value for share, value in zip(shares, v, strict=True)))
        outputs.append(torch.stack(rows))
    return attention.proj(torch.cat(outputs, dim=1))


def tokens_of(
    backbone: Backbone, image: Tensor, *, prefixes: dict[int, Tensor] | None = None, prompt: Tensor | None = None
) -> Tensor:
    """Return all tokens (L, D) of one image after the final norm, in float64.

    Args:
        backbone: Untouched, with float64 weights.
        image: (3, H, W).
        prefixes: Block to prefix (2, P, D).
        prompt: (P, D) tokens behind the class token; they get the position of the class token.
    """
    model = backbone.model
    x = model.patch_embed(((image.double() - 0.5) / 0.5)[None])[0]
    first = model.cls_token[0] + model.pos_embed[0, :1]
    parts = [first, x + model.pos_embed[0, 1:]]
    if prompt is not None:
        parts.insert(1, prompt.double() + model.pos_embed[0, 0])
    x = torch.cat(parts)
    for layer, block in enumerate(model.blocks):
        prefix = (prefixes or {}).get(layer)
        x = x + attend(block.attn, block.norm1(x), None if prefix is None else prefix.double())
        x = x + block.mlp(block.norm2(x))
    return model.norm(x)
