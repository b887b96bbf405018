"""Prefixes of a transformer's attention: learned keys and values that every query of a block sees.

Letters: N batch, L tokens, D width, H heads, d = D / H, P prompt length, S adapted blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdlora.adapters.blocks import blocks_of
from sdlora.errors import ConfigError

_PREFIXES: ContextVar[Mapping[int, Sequence[Tensor]]] = ContextVar("prefixes")


class PrefixAttention(nn.Module):
    """Self-attention with a prefix in front of its keys and values while `prefixed` is active.

        O_i = softmax(Q_i [P_K,i ; K_i]^T / sqrt(d)) [P_V,i ; V_i]      for each head i

    Queries get no prefix, so the number of tokens stays. The prefix is in the space of the heads: no norm, projection
    or position is applied to it (with a q/k norm it joins after it). Without a prefix the attention itself runs.

    Args:
        base: timm's ``Attention``; read, not called, where there is a prefix.
        layer: Index of its block.

    Shape:
        Input and output (N, L, D).
    """

    def __init__(self, base: nn.Module, layer: int) -> None:
        super().__init__()
        self.base, self.layer = base, layer

    def forward(self, x: Tensor, **options: Any) -> Tensor:
        prefixes = _PREFIXES.get({}).get(self.layer, ())
        if not prefixes:
            return cast(Tensor, self.base(x, **options))
        return self._attend(x, [prefix.expand(x.shape[0], -1, -1, -1) for prefix in prefixes])

    def _attend(self, x: Tensor, prefixes: Sequence[Tensor]) -> Tensor:
        base: Any = self.base
        heads = (base.num_heads, base.head_dim)
        q, k, v = base.qkv(x).unflatten(-1, (3, *heads)).permute(2, 0, 3, 1, 4).unbind(0)  # (N, H, L, d)
        q, k = base.q_norm(q), base.k_norm(k)
        prefix = torch.unflatten(torch.cat([*prefixes], dim=2).to(k.dtype), -1, heads).transpose(
            2, 3
        )  # (N, 2, H, P, d)
        k, v = torch.cat([prefix[:, 0], k], dim=2), torch.cat([prefix[:, 1], v], dim=2)
        if base.fused_attn:
            out = F.scaled_dot_product_attention(q, k, v)
        else:
            out = (q * base.scale @ k.transpose(-2, -1)).softmax(dim=-1) @ v
        out = base.norm(out.transpose(1, 2).flatten(2))
        if getattr(base, "gate", None) is not None:
            out = out * base.gate(x).sigmoid()
        return cast(Tensor, base.proj(out))


def inject_prefixes(model: nn.Module, layers: Sequence[int]) -> tuple[int, ...]:
    """Make blocks of a vision transformer ready for prefixes, in place.

    Blocks that the model does not have are left out; if it has none of them, its last block is taken. So the published
    lists, made for twelve blocks, work at any depth.

    Args:
        model: A timm ``VisionTransformer``.
        layers: Indices of blocks, from 0.

    Returns:
        The blocks taken, in the order given.

    Raises:
        ConfigError: If the list is empty, has a negative or repeated index, or an attention is not timm's plain one.
    """
    if not layers or min(layers) < 0 or len(set(layers)) < len(layers):
        raise ConfigError(
            f"prompted layers {list(layers)}", expected="at least one index of a block, from 0, each once"
        )
    blocks = blocks_of(model)
    taken = tuple(layer for layer in layers if layer < len(blocks)) or (len(blocks) - 1,)
    for layer in taken:
        attention = getattr(blocks[layer], "attn", None)
        if isinstance(attention, PrefixAttention):
            continue
        if not isinstance(attention, nn.Module) or type(attention).__name__ != "Attention":
            raise ConfigError(
                f"block {layer} has {type(attention).__name__} where a prefix should go",
                expected="a vision transformer with timm's Attention",
            )
        blocks[layer].attn = PrefixAttention(attention, layer)
    return taken


def by_layer(layers: Sequence[int], prefixes: Tensor) -> dict[int, Tensor]:
    """Name the prefixes of S blocks.

    Args:
        layers: The S blocks.
        prefixes: (N, S, 2, P, D), keys before values; N may be 1 for all samples.
    """
    return dict(zip(layers, prefixes.unbind(1), strict=True))


@contextmanager
def prefixed(*prefixes: Mapping[int, Tensor]) -> Iterator[None]:
    """Let every backbone run with prefixes inside this block, in this thread alone.

    Args:
        prefixes: Block to prefix (N or 1, 2, P, D). Several for one block stand in the order given.
    """
    active: dict[int, list[Tensor]] = {}
    for mapping in prefixes:
        for layer, prefix in mapping.items():
            active.setdefault(layer, []).append(prefix)
    token = _PREFIXES.set(active)
    try:
        yield
    finally:
        _PREFIXES.reset(token)
