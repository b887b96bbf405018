"""A linear layer whose low-rank updates are folded into its weight at every call.

    y = x W^T + b,   W = W0 + sum over factors of B diag(coef) A, each on its own rows of W

The update is linear, so a forward pass is one product with W, however many factors there are, and so is the gradient
to x. Saved for backward are x and W; nothing per factor, nothing of size N x R. The gradients of a factor come from
whichever costs fewer multiplications (G is the gradient of y on the factor's rows):

    low-rank   P = A x^T, Q = B^T G^T:   coef: row sums of P * Q,       A: diag(coef) Q x,     B: (diag(coef) P G)^T
    dense      H = G^T x:                coef: row sums of B^T H * A,   A: diag(coef) B^T H,   B: H A^T diag(coef)

The dense product H is shared by all factors on the same rows and bounds the cost when the ranks add up.

Letters: N inputs in the batch (all leading dimensions together), D_in and D_out widths, R rank of a factor.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

Rows = tuple[int, int]
"""First row and one past the last row of a weight (D_out, D_in)."""


class Factor(NamedTuple):
    """One low-rank update B diag(coef) A of some rows of a weight.

    Attributes:
        rows: The rows it adds to.
        coef: (R,).
        A: (R, D_in).
        B: (number of rows, R).
    """

    rows: Rows
    coef: Tensor
    A: Tensor
    B: Tensor


LARGE_FOLD = 2**26
"""Multiplications for one factor from which on they are done in the type of the inputs, where that is below float32.

The sum is rounded to that type anyway; an update is small against W0, so rounding it first moves W by less than that.
"""


def fold(weight: Tensor, factors: Sequence[Factor], dtype: torch.dtype | None = None) -> Tensor:
    """Return a new tensor W0 + sum of B diag(coef) A, without gradients, in the weight's own type but float32 at least.

    Args:
        weight: W0 (D_out, D_in).
        factors: What to add.
        dtype: Type of what W is for. If it is shorter, large factors are multiplied in it, and added in float32.
    """
    wide = torch.promote_types(weight.dtype, torch.float32)
    with torch.no_grad(), torch.autocast(weight.device.type, enabled=False):
        folded = weight.to(wide, copy=True)
        for (start, stop), coef, A, B in factors:
            part, scaled = folded[start:stop], B.to(wide) * coef.to(wide)
            if dtype is not None and dtype.itemsize < wide.itemsize and B.numel() * A.shape[1] >= LARGE_FOLD:
                part += scaled.to(dtype) @ A.to(dtype)
            else:
                torch.addmm(part, scaled, A.to(wide), out=part)
    return folded


def folded_linear(x: Tensor, weight: Tensor, bias: Tensor | None, factors: Sequence[Factor]) -> Tensor:
    """Return x W^T + b with gradients to x and to the factors, never to W0 or b.

    Under autocast the product runs in autocast's type, as `torch.nn.functional.linear` would; the fold itself is
    always done in float32 or wider. Computed anew in a checkpointed region, and exact under gradient accumulation.

    Args:
        x: (..., D_in).
        weight: W0 (D_out, D_in).
        bias: b (D_out,) or None.
        factors: What to add to W0.

    Returns:
        (..., D_out).
    """
    device = x.device.type
    if torch.is_autocast_enabled(device) and x.dtype != torch.float64:
        dtype = torch.get_autocast_dtype(device)
        x, bias = x.to(dtype), None if bias is None else bias.to(dtype)
    tensors = [tensor for factor in factors for tensor in factor[1:]]
    rows = tuple(factor.rows for factor in factors)
    return cast(Tensor, _FoldedLinear.apply(x, weight, bias, rows, *tensors))


class _FoldedLinear(torch.autograd.Function):
    """`folded_linear` after autocast's conversions; takes coef, A, B of every factor one after another."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, rows: tuple[Rows, ...], *tensors: Tensor
    ) -> Tensor:
        needs_x, needs_factors = ctx.needs_input_grad[0], any(ctx.needs_input_grad[4:])
        folded = fold(weight, _factors(rows, tensors), x.dtype).to(x.dtype)
        y = F.linear(x, folded, bias)
        ctx.rows = rows
        ctx.save_for_backward(x if needs_factors else None, folded if needs_x else None, *tensors)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, G: Tensor) -> tuple[Tensor | None, ...]:
        x, folded, *tensors = ctx.saved_tensors
        factors = _factors(ctx.rows, tensors)
        needs = [ctx.needs_input_grad[4 + 3 * k : 7 + 3 * k] for k in range(len(factors))]
        grads: list[Tensor | None] = [None] * len(tensors)
        with torch.autocast(G.device.type, enabled=False):  # whether or not backward is called under autocast
            grad_x = None if folded is None else G @ folded
            for rows in dict.fromkeys(ctx.rows):
                members = [k for k, factor in enumerate(factors) if factor.rows == rows and any(needs[k])]
                found = _row_gradients(x, G, [factors[k] for k in members], [needs[k][1:] for k in members])
                for k, of_factor in zip(members, found, strict=True):
                    grads[3 * k : 3 * k + 3] = of_factor
        return grad_x, None, None, None, *grads


Needs = tuple[bool, bool]
"""Whether A and B of a factor want a gradient; that of coef costs next to nothing."""

Gradients = tuple[Tensor, Tensor | None, Tensor | None]
"""Gradients of coef, A and B."""


def _factors(rows: Sequence[Rows], tensors: Sequence[Tensor]) -> list[Factor]:
    return [Factor(rows[k], *tensors[3 * k : 3 * k + 3]) for k in range(len(rows))]


def _row_gradients(x: Tensor, G: Tensor, factors: list[Factor], needs: list[Needs]) -> list[Gradients]:
    """Return the gradients of all factors on the same rows, by the cheaper form."""
    if not factors:
        return []
    start, stop = factors[0].rows
    x, G = x.reshape(-1, x.shape[-1]), G.reshape(-1, G.shape[-1])[:, start:stop]
    sizes = (len(x), x.shape[1], stop - start)
    ranks = [len(factor.coef) for factor in factors]
    if dense_cost(*sizes, ranks, needs) < low_rank_cost(*sizes, ranks, needs):
        H = G.T @ x  # (rows, D_in)
        return [_dense_gradients(H, factor, need) for factor, need in zip(factors, needs, strict=True)]
    A, B = torch.cat([f.A.to(x.dtype) for f in factors]), torch.cat([f.B.to(G.dtype) for f in factors], dim=1)
    P, Q = A @ x.T, B.T @ G.T  # (R, N) of all factors: thin products run fastest with the rank in front
    products = zip(factors, needs, torch.split(P, ranks), torch.split(Q, ranks), strict=True)
    return [_low_rank_gradients(x, G, factor, need, P, Q) for factor, need, P, Q in products]


def low_rank_cost(num_x: int, num_in: int, num_out: int, ranks: Sequence[int], needs: Sequence[Needs]) -> int:
    """Count the multiplications of the low-rank form for factors on the same rows."""
    pairs = zip(ranks, needs, strict=True)
    return num_x * sum(rank * (num_in + num_out + num_in * A + num_out * B) for rank, (A, B) in pairs)


def dense_cost(num_x: int, num_in: int, num_out: int, ranks: Sequence[int], needs: Sequence[Needs]) -> int:
    """Count the multiplications of the dense form for factors on the same rows."""
    return num_in * num_out * (num_x + sum(rank * (1 + B) for rank, (_, B) in zip(ranks, needs, strict=True)))


def _low_rank_gradients(x: Tensor, G: Tensor, factor: Factor, needs: Needs, P: Tensor, Q: Tensor) -> Gradients:
    _, coef, A, B = factor
    return (
        (P.to(coef.dtype) * Q).sum(1),
        coef[:, None] * (Q @ x).to(A.dtype) if needs[0] else None,
        (coef[:, None] * (P @ G).to(B.dtype)).T if needs[1] else None,
    )


def _dense_gradients(H: Tensor, factor: Factor, needs: Needs) -> Gradients:
    _, coef, A, B = factor
    BtH = (B.T.to(H.dtype) @ H).to(A.dtype)  # (R, D_in)
    return (
        (BtH * A).sum(1),
        coef[:, None] * BtH if needs[0] else None,
        (H @ A.T.to(H.dtype)).to(B.dtype) * coef if needs[1] else None,
    )
