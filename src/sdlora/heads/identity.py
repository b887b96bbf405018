"""A classifier that tells from a frozen feature which task an image belongs to.

Letters: N batch, D feature width, K classes seen.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from sdlora.heads.alignment import learning
from sdlora.heads.linear import LinearHead


class IdentityHead(nn.Module):
    """A residual layer and a linear head, learned by `fit` alone and frozen otherwise.

        z = Head(LN(f + W2 GELU(W1 f + b1) + b2)),   W1 (2 D, D)

    Args:
        feature_dim: Width D of the features.

    Shape:
        Features (N, D) to logits (N, K).

    Source:
        Task-identity inference of HiDe-Prompt, arXiv 2310.07234.
    """

    def __init__(self, feature_dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(feature_dim, 2 * feature_dim), nn.GELU(), nn.Linear(2 * feature_dim, feature_dim)
        )
        for layer in (self.mlp[0], self.mlp[2]):
            nn.init.trunc_normal_(cast(nn.Linear, layer).weight, std=0.02)
            nn.init.zeros_(cast(nn.Linear, layer).bias)
        self.norm = nn.LayerNorm(feature_dim, eps=1e-6)
        self.head = LinearHead(feature_dim)
        self.requires_grad_(False)

    def grow(self, num_classes: int) -> None:
        """Add rows for the classes of a new task."""
        self.head.grow(num_classes)
        self.requires_grad_(False)

    def fit(self, features: Tensor, labels: Tensor, *, lr: float, batch_size: int, epochs: int = 20) -> None:
        """Learn the newest task: its rows of the head, and the layer that all tasks share.

        Cross-entropy over the classes of that task, a new Adam, gradients of norm 1 at most.

        Args:
            features: (N, D).
            labels: (N,) class ids of the newest task.
            lr: Learning rate.
            batch_size: Features in a step.
            epochs: Passes.
        """
        parameters = [*self.mlp.parameters(), *self.norm.parameters(), *self.head.blocks[-1].parameters()]
        with learning(parameters):
            optimizer = torch.optim.Adam(parameters, lr=lr)
            for _ in range(epochs):
                for places in torch.split(torch.randperm(len(labels)).to(labels.device), batch_size):
                    optimizer.zero_grad()
                    self.head.loss(self._embed(features[places]), labels[places]).backward()  # type: ignore[no-untyped-call]
                    nn.utils.clip_grad_norm_(parameters, 1.0)
                    optimizer.step()

    def forward(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.head(self._embed(features)))

    def _embed(self, features: Tensor) -> Tensor:
        return cast(Tensor, self.norm(features + self.mlp(features)))
