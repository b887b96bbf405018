"""Ridge regression for many strengths of regularisation at once, in float64.

    W(lambda) = (H^T H + lambda I)^-1 H^T Y = H^T (H H^T + lambda I)^-1 Y

One eigendecomposition, of whichever product is smaller, serves all lambda. Directions whose eigenvalue rounding cannot
tell from zero are left out: H^T Y has no part in them, so that lambda may be as small as one likes.

Letters: N rows, M width of a row, C targets.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from sdlora.errors import NumericalError

LAMBDAS = tuple(10.0**power for power in range(-8, 9))
"""The 17 strengths that RanPAC tries."""

HALF_THE_DIGITS = 1e-8  # of float64


class RidgePath(NamedTuple):
    """W(lambda) = lift diag(1 / (values + lambda)) right, for any lambda > 0.

    Attributes:
        values: (K,), eigenvalues, positive.
        lift: (M, K).
        right: (K, C).
    """

    values: Tensor
    lift: Tensor
    right: Tensor

    def weight(self, strength: float) -> Tensor:
        """Return W(lambda): (M, C)."""
        return self.lift @ (self.right / (self.values[:, None] + strength))


def primal(gram: Tensor, cross: Tensor) -> RidgePath:
    """Decompose H^T H (M, M), with H^T Y (M, C): for N > M."""
    values, vectors = _eigen(gram)
    return RidgePath(values, vectors, vectors.T @ cross)


def dual(H: Tensor, Y: Tensor) -> RidgePath:
    """Decompose H H^T, from H (N, M) and Y (N, C): for N <= M."""
    values, vectors = _eigen(H @ H.T)
    return RidgePath(values, H.T @ vectors, vectors.T @ Y)


def _eigen(square: Tensor) -> tuple[Tensor, Tensor]:
    values, vectors = torch.linalg.eigh(square)
    sure = values > _rounding(square)
    return values[sure], vectors[:, sure]


def _rounding(square: Tensor) -> float:
    """Return what an eigenvalue of a positive matrix must exceed to be no rounding error."""
    return float(square.trace()) * len(square) * torch.finfo(square.dtype).eps


def squared_errors(path: RidgePath, H: Tensor, Y: Tensor) -> Tensor:
    """Return the summed squared error of H W(lambda) against Y (N, C) for each of `LAMBDAS`: (17,)."""
    lifted = H @ path.lift  # (N, K)
    return torch.stack([((lifted / (path.values + s)) @ path.right - Y).square().sum() for s in LAMBDAS])


def least(errors: Tensor) -> float:
    """Return the strength with the least error; the smallest one on a tie, never one whose error is not finite.

    Args:
        errors: One for each of `LAMBDAS`.

    Raises:
        NumericalError: If no error is finite.
    """
    finite = [(error, s) for error, s in zip(errors.tolist(), LAMBDAS, strict=True) if error < float("inf")]
    if not finite:
        raise NumericalError("no ridge regression gave a finite error", expected="finite features")
    return min(finite)[1]


def solve(gram: Tensor, cross: Tensor, strength: float) -> Tensor:
    """Return W = (G + lambda I)^-1 Q: by Cholesky, or by eigenvalues, slower, where that would lose half the digits.

    Args:
        gram: G = H^T H (M, M), float64.
        cross: Q = H^T Y (M, C), float64.
        strength: lambda > 0.
    """
    if strength < HALF_THE_DIGITS * float(gram.trace()):
        return primal(gram, cross).weight(strength)
    shifted = gram.clone()
    shifted.diagonal().add_(strength)
    return torch.cholesky_solve(cross, torch.linalg.cholesky(shifted))
