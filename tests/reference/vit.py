"""A vision transformer's forward pass by hand, with room for an update of the queries and values of each block."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

Update = Callable[[int, str, Tensor], Tensor]
"""(block, "q" or "v", attention input (N, L, D)) to what is added to the projection (N, L, D)."""


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor, eps: float = 1e-6) -> Tensor:
    mean = x.mean(-1, keepdim=True)
    variance = ((x - mean) ** 2).mean(-1, keepdim=True)
    return (x - mean) / torch.sqrt(variance + eps) * weight + bias


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1 + torch.erf(x / math.sqrt(2)))


def features(w: dict[str, Tensor], images: Tensor, *, depth: int, num_heads: int, patch: int, update: Update) -> Tensor:
    """Return the class token after the final norm (N, D); `w` is the state dict of the untouched model."""
    num, _, height, width = images.shape
    x = (images - 0.5) / 0.5
    patches = x.reshape(num, 3, height // patch, patch, width // patch, patch).permute(0, 2, 4, 1, 3, 5)
    kernel = w["patch_embed.proj.weight"].flatten(1)
    tokens = patches.reshape(num, -1, 3 * patch * patch) @ kernel.T + w["patch_embed.proj.bias"]
    dim = tokens.shape[-1]
    x = torch.cat([w["cls_token"].expand(num, 1, dim), tokens], dim=1) + w["pos_embed"]
    for i in range(depth):
        b = f"blocks.{i}."
        y = layer_norm(x, w[b + "norm1.weight"], w[b + "norm1.bias"])
        q, k, v = (y @ w[b + "attn.qkv.weight"].T + w[b + "attn.qkv.bias"]).chunk(3, dim=-1)
        q, v = q + update(i, "q", y), v + update(i, "v", y)
        split = lambda z: z.reshape(num, -1, num_heads, dim // num_heads).transpose(1, 2)  # noqa: E731
        scores = split(q) @ split(k).transpose(-1, -2) / math.sqrt(dim // num_heads)
        mixed = (torch.softmax(scores, dim=-1) @ split(v)).transpose(1, 2).reshape(num, -1, dim)
        x = x + mixed @ w[b + "attn.proj.weight"].T + w[b + "attn.proj.bias"]
        y = layer_norm(x, w[b + "norm2.weight"], w[b + "norm2.bias"])
        hidden = gelu(y @ w[b + "mlp.fc1.weight"].T + w[b + "mlp.fc1.bias"])
        x = x + hidden @ w[b + "mlp.fc2.weight"].T + w[b + "mlp.fc2.bias"]
    return layer_norm(x, w["norm.weight"], w["norm.bias"])[:, 0]
