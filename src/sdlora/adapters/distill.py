"""Least squares of a new direction over the old ones (SD-LoRA-KD), from products of their factors alone.

    min_a | D - sum_k a_k D_k |_F^2,   <B_j A_j, B_k A_k> = sum of (B_j^T B_k) * (A_j A_k^T)

The paper keeps D when this residual is at least tau and otherwise hands its share a_k over to the old directions.
LibContinual's version of it cannot run; this is the calculation it means.

Letters: T old directions, R their ranks added up, D_in and D_out widths.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from sdlora.errors import NumericalError

RCOND = 1e-10
"""Singular values of the Gram matrix below this fraction of the largest are zero: directions that agree to 1e-5."""


class Fit(NamedTuple):
    """The solution of the least squares.

    Attributes:
        shares: a (T,), float64 on the CPU; of minimum norm where the old directions are dependent.
        residual: | D - sum_k a_k D_k |_F^2; D has norm 1, so this is a fraction.
        rank: Number of independent old directions.
    """

    shares: Tensor
    residual: float
    rank: int


def fit_direction(A: Tensor, B: Tensor, old_A: Tensor, old_B: Tensor, ranks: Tensor) -> Fit:
    """Solve for a direction over old directions, in float64 on the CPU.

    Args:
        A: (R', D_in), factor of the new direction D = B A.
        B: (D_out, R').
        old_A: (R, D_in), factors of the old directions one below the other.
        old_B: (D_out, R).
        ranks: (T,), how many rows each has; 0 is a direction that is not there and gets share 0.

    Raises:
        NumericalError: If a factor holds a value that is not finite.
    """
    A, B, old_A, old_B = (factor.detach().cpu().double() for factor in (A, B, old_A, old_B))
    for factor in (A, B, old_A, old_B):
        if not torch.isfinite(factor).all():
            raise NumericalError("a low-rank direction holds a value that is not finite")
    ranks = ranks.cpu()
    shares = torch.zeros(len(ranks), dtype=torch.float64)
    present = torch.nonzero(ranks).flatten()
    square = float(_inner(A, B, A, B).sum())
    if not len(present):
        return Fit(shares, square, 0)
    blocks = F.one_hot(torch.repeat_interleave(ranks[present])).double().T  # (present ones, R), their rows
    gram = blocks @ _inner(old_A, old_B, old_A, old_B) @ blocks.T
    overlap = blocks @ _inner(old_A, old_B, A, B).sum(1)
    solution = torch.linalg.lstsq(gram, overlap[:, None], rcond=RCOND, driver="gelsd")
    a = solution.solution[:, 0]
    shares[present] = a
    residual = square - 2 * overlap @ a + a @ gram @ a
    return Fit(shares, max(0.0, float(residual)), int(solution.rank))


def _inner(A1: Tensor, B1: Tensor, A2: Tensor, B2: Tensor) -> Tensor:
    return (B1.T @ B2) * (A1 @ A2.T)
