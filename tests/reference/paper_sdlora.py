"""SD-LoRA and SD-LoRA-KD as arXiv 2501.13198 states them, with dense matrices in float64.

    W = W0 + sum_k alpha_k D_k,   D_k = B_k A_k / |B_k A_k|_F        (eq. 4)

On a task all alpha and the newest pair learn by Adam. Afterwards the newest D_t is regressed on the older ones, and
below tau it goes and alpha_k += delta_k. Several projections share the steps of an alpha; each has its own hand-over.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

BETAS, EPS = (0.9, 0.999), 1e-8


class PaperLoop:
    """The alphas and directions of some projections.

    Args:
        num_projections: How many share the alphas.
        tau: Residual below which a direction goes.

    Attributes:
        alphas: One row a projection, one column a direction; None where the projection has dropped it.
    """

    def __init__(self, num_projections: int, tau: float) -> None:
        self.tau = tau
        self.alphas: list[list[Tensor | None]] = [[] for _ in range(num_projections)]
        self.old: list[list[Tensor]] = [[] for _ in range(num_projections)]
        self.pairs: list[tuple[Tensor, Tensor]] = []

    def begin_task(self, pairs: list[tuple[Tensor, Tensor]]) -> None:
        """Take over new pairs (A, B), which were drawn; their alpha is 1."""
        for row, old, pair in zip(self.alphas, self.old, self.pairs, strict=False):
            if row[-1] is not None:
                old.append(direction(*pair).detach())
            else:
                old.append(torch.zeros(()))
        if self.pairs and all(row[-1] is None for row in self.alphas):  # the task left nothing at all
            for row, old in zip(self.alphas, self.old, strict=True):
                row.pop()
                old.pop()
        self.pairs = [tuple(factor.detach().double().clone().requires_grad_() for factor in pair) for pair in pairs]
        for row in self.alphas:
            row.append(torch.ones((), dtype=torch.float64))
        self.moments: list[tuple[Tensor, Tensor]] = []
        self.num_steps = 0

    def updates(self, steps: Tensor | None = None) -> list[Tensor]:
        """Return sum_k alpha_k D_k of each projection, with `steps` (T,) added to the alphas."""
        found = []
        for row, old, pair in zip(self.alphas, self.old, self.pairs, strict=True):
            newest = [] if row[-1] is None else [direction(*pair)]
            moves = torch.zeros(len(row)) if steps is None else steps
            terms = zip(row, moves, [*old, *newest], strict=False)
            found.append(sum((alpha + move) * D for alpha, move, D in terms if alpha is not None))
        return found

    def step(self, loss_of, lr: float) -> float:
        """Take a step of Adam on ``loss_of(updates)`` and return the loss before it."""
        steps = torch.zeros(len(self.alphas[0]), dtype=torch.float64, requires_grad=True)
        trained = [steps, *(factor for pair in self.pairs for factor in pair)]
        loss = loss_of(self.updates(steps))
        grads = torch.autograd.grad(loss, trained)
        self.moments = self.moments or [(torch.zeros_like(grad), torch.zeros_like(grad)) for grad in grads]
        self.num_steps += 1
        moves = []
        for k, grad in enumerate(grads):
            first = BETAS[0] * self.moments[k][0] + (1 - BETAS[0]) * grad
            second = BETAS[1] * self.moments[k][1] + (1 - BETAS[1]) * grad**2
            self.moments[k] = (first, second)
            corrected = first / (1 - BETAS[0] ** self.num_steps), second / (1 - BETAS[1] ** self.num_steps)
            moves.append(-lr * corrected[0] / (corrected[1].sqrt() + EPS))
        with torch.no_grad():
            for factor, move in zip(trained[1:], moves[1:], strict=True):
                factor += move
        for row in self.alphas:
            row[:] = [None if alpha is None else alpha + move for alpha, move in zip(row, moves[0], strict=True)]
        return float(loss.detach())

    def end_task(self) -> list[bool]:
        """Hand over what older directions explain; return for each projection whether it kept its newest."""
        kept = []
        for row, old, pair in zip(self.alphas, self.old, self.pairs, strict=True):
            D = direction(*pair).detach().numpy().ravel()
            present = [k for k, alpha in enumerate(row[:-1]) if alpha is not None]
            matrix = np.array([old[k].numpy().ravel() for k in present]).reshape(len(present), D.size).T
            a = np.linalg.lstsq(matrix, D, rcond=None)[0]
            kept.append(bool(np.sum((matrix @ a - D) ** 2) >= self.tau))
            if not kept[-1]:
                for k, share in zip(present, a, strict=True):
                    row[k] = row[k] + row[-1] * share  # D_t carries alpha_t, so its share does
                row[-1] = None
        return kept


def direction(A: Tensor, B: Tensor) -> Tensor:
    return (B @ A) / torch.linalg.matrix_norm(B @ A)
