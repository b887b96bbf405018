"""EASE: one adapter a task, all of them consulted at test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
from torch import Tensor

from sdlora.adapters.blocks import blocks_of
from sdlora.adapters.bottleneck import Bottlenecks, bottleneck_width, using
from sdlora.backbones.vit import Backbone
from sdlora.heads.cosine import CosineHead
from sdlora.heads.ensemble import EnsembleHead
from sdlora.methods.base import METHODS, Facts, Method, Origin
from sdlora.task import Task, TaskData


@METHODS.register("ease")
class EASE(Method):
    """Train a fresh adapter on each task; classify by class means in the features of every adapter.

    Training adapter t minimises the cross-entropy of a cosine head over the classes of task t alone; that head is
    dropped at the next task. What is kept: T adapters and K x T x D class means. The means of old classes serve again
    when those missing in a new subspace are made up (`sdlora.heads.ensemble`), so statistics of old tasks are stored.
    A prediction takes one backbone pass for every task seen.

    Args:
        backbone: Frozen throughout.
        adapter_width: Hidden width of an adapter; None means 64, but at most a quarter of the backbone's width.
        alpha: Weight of the subspaces of other tasks, shared among them.
        refresh: Whether synthetic means are made anew after every task.
        dropout: Probability of dropping a hidden unit of the adapter in a training step.

    Source:
        Zhou et al., arXiv 2403.12030; settings of the released code where the two may differ: alpha is divided by the
        number of other subspaces, and synthetic means are refreshed.
    """

    facts: Facts = Facts(
        trains="one bottleneck adapter a task",
        source="arXiv 2403.12030",
        rehearsal_free=False,
        one_pass=False,
        end_to_end=False,
    )
    mergeable: ClassVar[bool] = False
    from_data: Mapping[str, Origin] = {"head.means": "statistics"}

    def __init__(
        self,
        backbone: Backbone,
        *,
        adapter_width: int | None = None,
        alpha: float = 0.1,
        refresh: bool = True,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(backbone)
        width = bottleneck_width(backbone.feature_dim, adapter_width)
        self.adapters = Bottlenecks(blocks_of(backbone.model), width=width, dropout=dropout)
        self.head = EnsembleHead(backbone.feature_dim, alpha=alpha, refresh=refresh).to(backbone.mean.device)
        self.training_head: CosineHead | None = None
        self.class_offset = 0

    def begin_task(self, task: Task) -> None:
        width, device = self.backbone.feature_dim, self.backbone.mean.device
        self.adapters.add(width, device)
        self.head.grow(task.num_classes)
        self.training_head = CosineHead(width, task.num_classes, device=device)
        self.class_offset = task.class_offset

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        with using(-1, dropout=True):
            features = self.backbone(images)
        head = cast(CosineHead, self.training_head)
        return {"cross_entropy": head.loss(features, labels - self.class_offset)}

    @torch.no_grad()
    def end_task(self, data: TaskData) -> None:
        self.head.fit((self._features(images, len(self.adapters)), labels) for images, labels in data.plain)

    def forward(self, images: Tensor) -> Tensor:
        num_fitted = int(self.head.num_fitted)
        if num_fitted == 0:
            return images.new_zeros(len(images), len(self.head.means))
        return cast(Tensor, self.head(self._features(images, num_fitted)))

    def _features(self, images: Tensor, num_adapters: int) -> Tensor:
        """Return the features under each of the first adapters, one backbone pass each: (N, J, D)."""
        features = []
        for index in range(num_adapters):
            with using(index):
                features.append(self.backbone(images))
        return torch.stack(features, dim=1)
