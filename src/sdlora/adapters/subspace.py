"""The part of a layer's input space that old tasks use: DualGPM, and the update directions that avoid it.

Source: InfLoRA, arXiv 2404.00228, after GPM, arXiv 2103.09762. Where paper and released code differ the code is
followed; where the code has a known slip (noted beside the line) it is not.

Letters: D width of the input, k columns of the stored basis, R rank. C (D, D) is the second moment of the inputs.
"""

from __future__ import annotations

import math
from typing import Literal, cast

import torch
from torch import Tensor, nn

Energy = Literal["fourth", "second"]
"""Which power of the singular values of the token matrix is summed when a share of it is to be kept."""


class Subspace(nn.Module):
    """An orthonormal basis of the protected directions or, once they are more than D / 2, of the free ones.

    Either way it has at most D / 2 columns; it is stored as that many, with a count.

    Args:
        dim: D.
        energy: ``"fourth"``: sums of squared singular values of C, as in the released code; ``"second"``: of its
            square root, which is what GPM sums.

    Attributes:
        columns: (D, D // 2), of which the first `count` are the basis.
        count: k.
        is_free: Whether the basis spans the free directions.
    """

    columns: Tensor
    count: Tensor
    is_free: Tensor

    def __init__(self, dim: int, *, energy: Energy = "fourth") -> None:
        super().__init__()
        self.energy = energy
        self.register_buffer("columns", torch.zeros(dim, dim // 2))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("is_free", torch.zeros((), dtype=torch.bool))

    @property
    def num_protected(self) -> int:
        """Number of protected directions, 0 to D."""
        return len(self.columns) - int(self.count) if self.is_free else int(self.count)

    def basis(self) -> Tensor:
        """Return what is stored, orthonormal to the last bit again: (D, k), float64, on the CPU."""
        orthonormal, _ = torch.linalg.qr(self.columns[:, : int(self.count)].cpu().double())
        return cast(Tensor, orthonormal)

    def free_part(self, matrix: Tensor) -> Tensor:
        """Return (I - F) X for the projector F onto the protected directions, X (D, any), float64, on the CPU."""
        basis = self.basis()
        inside = basis @ (basis.T @ matrix)
        return inside if self.is_free else matrix - inside

    def design(self, moment: Tensor, rank: int) -> Tensor:
        """Return A (R, D): the leading left singular vectors of (I - F) C, divided by sqrt(3).

        The divisor gives each row the length that a freshly drawn one has on average (released code; not in the paper).
        Where fewer than R directions are free or used, the last rows are zero: arbitrary ones, as in the released code,
        would interfere with old tasks.

        Args:
            moment: C (D, D), float64, on the CPU.
            rank: R.
        """
        vectors, values, _ = torch.linalg.svd(self.free_part(moment))
        certain = values > len(moment) * torch.finfo(moment.dtype).eps * torch.linalg.matrix_norm(moment)
        return cast(Tensor, (vectors * certain)[:, :rank].T / math.sqrt(3))

    def protect(self, moment: Tensor, share: float) -> None:
        """Protect more directions, until they hold `share` of the energy of C.

        Args:
            moment: C (D, D), float64, on the CPU.
            share: eps of the task, 0 to 1.
        """
        matrix = moment if self.energy == "fourth" else _square_root(moment)
        total = matrix.square().sum()
        basis, dim = self.basis(), len(matrix)
        inside = basis @ (basis.T @ matrix)
        vectors, values, _ = torch.linalg.svd(inside if self.is_free else matrix - inside)
        gains = values.square() / total  # in descending order
        if self.is_free:  # give up free directions while they hold 1 - eps or more
            before = inside.square().sum() / total - (gains.cumsum(0) - gains)
            num_lost = min(int((before >= 1 - share).sum()), basis.shape[1])
            lost = vectors[:, :num_lost]
            kept = torch.linalg.svd(basis - lost @ (lost.T @ basis))[0]
            basis = kept[:, : basis.shape[1] - num_lost] if num_lost else basis
        elif not basis.shape[1]:  # first task: stops one short of eps, but takes one at least
            basis = vectors[:, : max(1, int((gains.cumsum(0) < share).sum()))]
        else:  # later: the direction that crosses eps is taken too
            before = 1 - (matrix - inside).square().sum() / total + gains.cumsum(0) - gains
            basis = torch.cat([basis, vectors[:, : int((before < share).sum())]], dim=1)[:, :dim]
        self._store(basis)

    def _store(self, basis: Tensor) -> None:
        dim = len(basis)
        if not self.is_free and basis.shape[1] > dim / 2:  # also after the first task, where the code keeps M itself
            basis = torch.linalg.svd(basis)[0][:, basis.shape[1] :]
            self.is_free.fill_(True)
        self.count.fill_(basis.shape[1])
        self.columns.zero_()
        self.columns[:, : basis.shape[1]] = basis.to(self.columns)


def _square_root(moment: Tensor) -> Tensor:
    values, vectors = torch.linalg.eigh(moment)
    return cast(Tensor, (vectors * values.clamp(min=0).sqrt()) @ vectors.T)
