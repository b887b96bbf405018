"""Class means in the subspace of every task's adapter, with the missing ones made up from similar classes (EASE).

Class c belongs to task tau(c) and was seen by adapters 0 .. tau(c) at the most when its images were there. So
P[c, j], its mean in the features of adapter j, is measured where j <= tau(c). Where j > tau(c) it is synthetic: with
i = tau(c) and k over the classes of tasks j and later, all measured in both subspaces,

    S_ck = softmax_k cos(P[c, i], P[k, i]),   P[c, j] = sum_k S_ck P[k, j]

Letters: N batch, D feature width, K classes seen, J subspaces.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class EnsembleHead(nn.Module):
    """Cosine similarity to class means, summed over subspaces; that of the class's own task counts most.

    logit_c = cos(f_i, P[c, i]) + alpha / (J - 1) sum over j != i of cos(f_j, P[c, j]),   i = tau(c)

    J counts the tasks that `fit` has seen, not the columns there are: a task under way has no part in the logits, and
    its classes score 0.

    Args:
        feature_dim: Width D of the features.
        alpha: Weight of the other subspaces.
        refresh: Whether synthetic means are made anew from all classes that qualify after every task; otherwise they
            are made once, from the classes of task j alone.

    Shape:
        Features (N, J, D) to logits (N, K).
    """

    means: Tensor
    task_of: Tensor
    num_fitted: Tensor

    def __init__(self, feature_dim: int, *, alpha: float = 0.1, refresh: bool = True) -> None:
        super().__init__()
        self.alpha, self.refresh = alpha, refresh
        self.register_buffer("means", torch.zeros(0, 0, feature_dim))  # (K, J, D)
        self.register_buffer("task_of", torch.zeros(0, dtype=torch.int64))  # (K,), tau
        self.register_buffer("num_fitted", torch.zeros((), dtype=torch.int64))

    def grow(self, num_classes: int) -> None:
        """Add a subspace, and rows for the classes of a new task; both are zero until `fit`."""
        num_tasks = self.means.shape[1]
        self.means = F.pad(self.means, (0, 0, 0, 1, 0, num_classes))
        self.task_of = torch.cat([self.task_of, self.task_of.new_full((num_classes,), num_tasks)])

    @torch.no_grad()
    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Measure the newest task's means in every subspace, then make up what older classes lack in the newest ones.

        Args:
            batches: Features (N, J, D), one for each subspace, and class ids (N,) of the newest task.
        """
        sums = torch.zeros_like(self.means, dtype=torch.float64)
        counts = torch.zeros(len(sums), dtype=torch.float64, device=sums.device)
        for features, labels in batches:
            sums.index_add_(0, labels, features.double())
            counts.index_add_(0, labels, torch.ones_like(labels, dtype=torch.float64))
        seen = counts > 0
        self.means[seen] = (sums[seen] / counts[seen, None, None]).to(self.means.dtype)
        self.num_fitted.fill_(self.means.shape[1])
        self._synthesise()

    def _synthesise(self) -> None:
        newest = self.means.shape[1] - 1
        for j in range(1 if self.refresh else newest, newest + 1):
            donors = self.task_of >= j
            for i in range(j):
                lacking = self.task_of == i
                weights = similarity(self.means[lacking, i], self.means[donors, i])
                self.means[lacking, j] = weights @ self.means[donors, j]

    def forward(self, features: Tensor) -> Tensor:
        num_tasks = int(self.num_fitted)
        subspaces = torch.arange(num_tasks, device=self.task_of.device)
        other = self.alpha / max(num_tasks - 1, 1)
        weights = torch.where(self.task_of[:, None] == subspaces, 1.0, other)  # (K, J)
        features, means = F.normalize(features.float(), dim=2), F.normalize(self.means[:, :num_tasks], dim=2)
        with torch.autocast(features.device.type, enabled=False):
            cosines = torch.einsum("njd,kjd->nkj", features, means)
        return (cosines * weights).sum(2)


def similarity(means: Tensor, donors: Tensor) -> Tensor:
    """Return softmax weights over donors by cosine similarity, at temperature 1: (A, D), (B, D) to (A, B)."""
    return torch.softmax(F.normalize(means, dim=1) @ F.normalize(donors, dim=1).T, dim=1)
