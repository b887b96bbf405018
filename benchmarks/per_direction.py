"""SD-LoRA as it is usually computed: in activation space. What the folded form is compared with, and tested against.

    y = W0 x + b + sum_k magnitude_k B_k A_k x / |direction k|

The loop goes from direction to direction and keeps activations of each; the stacked form is one wide pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdlora.adapters import SDLoRALinear

Pairs = Sequence[tuple[Tensor, Tensor]]
"""A (R, D_in) and B (D_out, R) of every task, the newest last."""

Slice = tuple[int, int, Pairs]
"""First row of the layer, one past the last, and the pairs that add to them."""


def normaliser(preset: str, A: Tensor, B: Tensor, *, is_newest: bool) -> Tensor:
    """Return what B A is divided by."""
    if preset == "paper":
        return torch.linalg.matrix_norm(B @ A)
    if preset == "released" and not is_newest:
        return torch.linalg.matrix_norm(B) * torch.linalg.matrix_norm(A)
    return A.new_ones(())  # released: the newest pair is raw; continuous: every pair counts as it is


def loop_linear(
    preset: str, x: Tensor, weight: Tensor, bias: Tensor | None, slices: Sequence[Slice], magnitudes: Tensor
) -> Tensor:
    """Return x W0^T + b plus every direction's share, one direction after another, in the type of its inputs.

    Args:
        preset: Which reading of the equation.
        x: (..., D_in).
        weight: W0 (D_out, D_in).
        bias: b (D_out,) or None.
        slices: Where which pairs add.
        magnitudes: (T,).
    """
    y = F.linear(x, weight, bias)
    for start, stop, pairs in slices:
        added = torch.zeros_like(y[..., start:stop])
        for k, (A, B) in enumerate(pairs):
            share = F.linear(F.linear(x, A), B) / normaliser(preset, A, B, is_newest=k == len(pairs) - 1)
            added = added + magnitudes[k] * share
        y[..., start:stop] += added
    return y


def stacked_linear(
    x: Tensor, weight: Tensor, bias: Tensor | None, slices: Sequence[Slice], magnitudes: Tensor
) -> Tensor:
    """Return the same for pairs that are divided already, all pairs of a slice being stacked into one."""
    y = F.linear(x, weight, bias)
    for start, stop, pairs in slices:
        A, B = torch.cat([A for A, _ in pairs]), torch.cat([B for _, B in pairs], dim=1)
        coef = torch.cat([magnitudes[k].expand(len(A)) for k, (A, _) in enumerate(pairs)])
        y[..., start:stop] += F.linear(F.linear(x, A) * coef, B)
    return y


class InActivations(nn.Module):
    """An SD-LoRA adapter of the preset ``"released"`` with the same parameters, computed in activation space.

    Args:
        adapter: Has begun its tasks.
        stacked: Whether all directions are one wide pair; else the loop.
    """

    def __init__(self, adapter: SDLoRALinear, *, stacked: bool) -> None:
        super().__init__()
        self.base, self.stacked = adapter.base, stacked
        self.newest = nn.ParameterList(p for part in adapter.directions for p in (part.lora_A, part.lora_B))
        self._shared = (adapter.magnitudes,)
        self._old = []
        for (start, stop), part in zip(adapter.rows.values(), adapter.directions, strict=True):
            ends = [0, *part.ranks.cumsum(0).tolist()]
            old = [(part.frozen_A[a:b], part.frozen_B[:, a:b].contiguous()) for a, b in pairwise(ends)]
            self._old.append((start, stop, old))

    def forward(self, x: Tensor) -> Tensor:
        newest = cast(list[Any], list(self.newest))
        slices = [
            (start, stop, [*old, (newest[2 * k], newest[2 * k + 1])]) for k, (start, stop, old) in enumerate(self._old)
        ]
        values = self._shared[0].values
        if self.stacked:
            return stacked_linear(x, self.base.weight, self.base.bias, slices, values)
        return loop_linear("released", x, self.base.weight, self.base.bias, slices, values)
