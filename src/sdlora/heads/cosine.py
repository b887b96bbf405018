"""A trained classifier by cosine similarity, for a training phase whose head is thrown away afterwards.

Letters: N batch, D feature width, C classes.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class CosineHead(nn.Module):
    """Cosine similarity to one learned vector a class, times a learned number.

    logit_c = sigma <f, w_c> / (|f| |w_c|)

    Rows start uniform within 1 / sqrt(D), sigma at 1; no bias.

    Args:
        feature_dim: Width D of the features.
        num_classes: C.
        device: Where its parameters live.

    Shape:
        Features (N, D) to logits (N, C).
    """

    def __init__(self, feature_dim: int, num_classes: int, *, device: torch.device | None = None) -> None:
        super().__init__()
        bound = 1 / math.sqrt(feature_dim)
        self.weight = nn.Parameter(torch.empty(num_classes, feature_dim, device=device).uniform_(-bound, bound))
        self.sigma = nn.Parameter(torch.ones((), device=device))

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the mean cross-entropy, a float32 scalar.

        Args:
            features: (N, D).
            labels: (N,) in 0 .. C - 1: positions within the task, not class ids of the stream.
        """
        return F.cross_entropy(self(features), labels)

    def forward(self, features: Tensor) -> Tensor:
        return self.sigma * F.linear(F.normalize(features.float(), dim=1), F.normalize(self.weight, dim=1))
