"""A low-rank pair: lora_A (R, D_in) and lora_B (D_out, R), whose update of a weight is B A.

Letters: R rank, D_in and D_out widths.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from sdlora.errors import ConfigError

NEGLIGIBLE = 1e-12
"""Frobenius norm below which B A counts as zero; in float32 a weight does not feel it."""

Divisor = Literal["product", "factors"]
"""What makes a direction of a pair: division by |B A|_F, or by |B|_F |A|_F."""


def new_pair(
    rank: int, num_inputs: int, num_outputs: int, *, zero_B: bool, dtype: torch.dtype, device: torch.device
) -> tuple[nn.Parameter, nn.Parameter]:
    """Return fresh A (R, D_in) and B (D_out, R).

    Both are uniform within 1 / sqrt(fan in), as `torch.nn.Linear` starts; with `zero_B` B is zero, and so is B A.

    Raises:
        ConfigError: If `rank` is out of range.
    """
    check_rank(rank, num_inputs, num_outputs)
    A = torch.empty(rank, num_inputs, dtype=dtype, device=device)
    B = torch.zeros(num_outputs, rank, dtype=dtype, device=device)
    nn.init.kaiming_uniform_(A, a=math.sqrt(5))
    if not zero_B:
        nn.init.kaiming_uniform_(B, a=math.sqrt(5))
    return nn.Parameter(A), nn.Parameter(B)


def check_rank(rank: int, num_inputs: int, num_outputs: int) -> None:
    """Refuse a rank that no update of a (D_out, D_in) weight can have.

    Raises:
        ConfigError: If it is less than 1 or more than the smaller width.
    """
    if not 1 <= rank <= min(num_inputs, num_outputs):
        raise ConfigError(
            f"rank {rank} for a projection of width {num_inputs} -> {num_outputs}",
            expected=f"1 to {min(num_inputs, num_outputs)}",
        )


def unit_pair(A: Tensor, B: Tensor, by: Divisor = "product") -> tuple[Tensor, Tensor, Tensor]:
    """Return factors of the direction of B A, and the norm |B A|_F that was taken out.

        direction = B A / |B A|_F    or    B A / (|B|_F |A|_F)

    |B A|_F^2 = sum of (B^T B) * (A A^T), two products of R x R entries. The direction does not change when A or B is
    scaled, so both are first divided by their largest entry, which keeps tiny and huge factors in range; gradients
    pass through everything else. A pair of norm below `NEGLIGIBLE` gives zero factors and zero gradients, not NaN.

    Args:
        A: (R, D_in).
        B: (D_out, R).
        by: What to divide by.

    Returns:
        A / |A|_F (R, D_in), the B that goes with it (D_out, R), and |B A|_F, a scalar.
    """
    with torch.autocast(A.device.type, enabled=False):
        size_A, size_B = _largest(A), _largest(B)
        A, B = A / size_A, B / size_B
        square_A, square_B = A.square().sum(), B.square().sum()
        square = ((B.T @ B) * (A @ A.T)).sum().clamp_min(0)
        norm = square.detach().sqrt() * size_A * size_B
        alive = norm > NEGLIGIBLE
        norm_A = torch.where(alive, square_A, 1).sqrt()
        divisor = torch.where(alive, square if by == "product" else square_A * square_B, 1).sqrt()
        return A * (alive / norm_A), B * (alive * norm_A / divisor), norm


def _largest(factor: Tensor) -> Tensor:
    size = factor.detach().abs().amax() if factor.numel() else factor.new_ones(())
    return torch.where(size > 0, size, 1)
