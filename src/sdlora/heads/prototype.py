"""A classifier by the nearest class mean.

Letters: N batch, D feature width, K classes seen.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PrototypeHead(nn.Module):
    """Cosine similarity to the mean feature of each class.

    logit_k = <f, m_k> / (|f| |m_k|)

    Shape:
        Features (N, D) to logits (N, K) in -1..1.
    """

    means: Tensor

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(0, feature_dim))

    def grow(self, num_classes: int) -> None:
        """Add rows for the classes of a new task; they are zero until `fit`."""
        rows = self.means.new_zeros(num_classes, self.means.shape[1])
        self.means = torch.cat([self.means, rows])

    def fit(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Set the means of every class that occurs in (features, labels) batches."""
        sums = torch.zeros_like(self.means, dtype=torch.float64)
        counts = torch.zeros(len(self.means), dtype=torch.float64, device=sums.device)
        for features, labels in batches:
            sums.index_add_(0, labels, features.double())
            counts.index_add_(0, labels, torch.ones_like(labels, dtype=torch.float64))
        seen = counts > 0
        self.means[seen] = (sums[seen] / counts[seen, None]).to(self.means.dtype)

    def forward(self, features: Tensor) -> Tensor:
        return F.normalize(features.float(), dim=1) @ F.normalize(self.means, dim=1).T
