"""SD-LoRA as the paper writes it, in float64 and in activation space, one task after another. Slow and plain.

A slice is (first row, one past the last, pairs); pairs are the raw (A, B) of every task, as they were trained.
"""

from __future__ import annotations

import torch
from torch import Tensor


def normaliser(preset: str, A: Tensor, B: Tensor, is_newest: bool) -> Tensor:
    """Return what B A is divided by."""
    if preset == "paper":
        return torch.linalg.matrix_norm(B @ A)
    if preset == "released" and not is_newest:
        return torch.linalg.matrix_norm(B) * torch.linalg.matrix_norm(A)
    return torch.ones((), dtype=torch.float64)  # released: the newest pair is raw; continuous: every pair counts as is


def loop_linear(preset: str, x: Tensor, weight: Tensor, bias: Tensor | None, slices, magnitudes: Tensor) -> Tensor:
    """Return W0 x + b + sum_k magnitude_k direction_k x; x is (N, D_in)."""
    outputs = x @ weight.T if bias is None else x @ weight.T + bias
    columns = list(outputs.unbind(1))
    for start, stop, pairs in slices:
        for k, (A, B) in enumerate(pairs):
            direction = B @ A / normaliser(preset, A, B, k == len(pairs) - 1)
            added = magnitudes[k] * (x @ direction.T)
            for row in range(start, stop):
                columns[row] = columns[row] + added[:, row - start]
    return torch.stack(columns, dim=1)
