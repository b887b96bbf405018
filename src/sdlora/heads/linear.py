"""A linear classifier that grows by one block of rows a task.

Letters: N batch, D feature width, K classes seen, C classes of the newest task.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def _truncated_normal(weight: Tensor) -> None:
    nn.init.trunc_normal_(weight, std=0.02)


def _kaiming_uniform(weight: Tensor) -> None:
    bound = math.sqrt(3 / weight.shape[1])  # gain 1
    nn.init.uniform_(weight, -bound, bound)


INITS: dict[str, Callable[[Tensor], None]] = {"default": _truncated_normal, "released": _kaiming_uniform}


class LinearHead(nn.Module):
    """One linear block a task; only the newest one learns.

    Under the local cross-entropy of `loss` rows of old classes get no gradient, so freezing them changes
    nothing; it makes sure that weight decay or momentum cannot move them either.

    Args:
        feature_dim: Width D of the features.
        init: ``"default"`` (truncated normal, deviation 0.02) or ``"released"`` (uniform within sqrt(3 / D), as in the
            released SD-LoRA code); biases start at zero in both.
        frozen: Whether `grow` freezes the older blocks.

    Shape:
        Features (N, D) to logits (N, K).
    """

    def __init__(self, feature_dim: int, *, init: str = "default", frozen: bool = True) -> None:
        super().__init__()
        self.feature_dim, self.frozen = feature_dim, frozen
        self._init = INITS[init]
        self.blocks = nn.ModuleList()

    def grow(self, num_classes: int) -> None:
        """Add a block for the classes of a new task."""
        if self.frozen:
            self.blocks.requires_grad_(False)
        device = self.blocks[0].weight.device if len(self.blocks) else None
        block = nn.Linear(self.feature_dim, num_classes, device=device)
        with torch.no_grad():
            self._init(block.weight)
            block.bias.zero_()
        self.blocks.append(block)

    @property
    def num_classes(self) -> int:
        """K, rows of all blocks."""
        return sum(cast(nn.Linear, block).out_features for block in self.blocks)

    def current(self, features: Tensor) -> Tensor:
        """Return the logits (N, C) of the newest task alone."""
        return cast(Tensor, self.blocks[-1](features))

    def loss(self, features: Tensor, labels: Tensor) -> Tensor:
        """Return the local cross-entropy: eq. 1 on D_t over the classes of the current task alone.

        Args:
            features: (N, D).
            labels: (N,) class ids of the stream, all of the newest task.

        Returns:
            Mean over the batch, a float32 scalar.
        """
        offset = self.num_classes - cast(nn.Linear, self.blocks[-1]).out_features
        return F.cross_entropy(self.current(features).float(), labels - offset)

    def forward(self, features: Tensor) -> Tensor:
        return torch.cat([block(features) for block in self.blocks], dim=1)
