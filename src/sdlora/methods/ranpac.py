"""RanPAC: adapt to the first task, then ridge regression on random features in closed form."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal, cast, get_args

import torch
from torch import Tensor, nn

from sdlora.adapters.blocks import blocks_of
from sdlora.adapters.bottleneck import Bottlenecks, bottleneck_width, using
from sdlora.adapters.scale_shift import scale_and_shift
from sdlora.backbones.vit import Backbone
from sdlora.errors import ConfigError
from sdlora.heads.cosine import CosineHead
from sdlora.heads.random_projection import RandomProjectionHead, projection_width
from sdlora.methods.base import METHODS, Facts, Method, Origin
from sdlora.task import Task, TaskData

Adaptation = Literal["adapter", "ssf", "none"]


@METHODS.register("ranpac")
class RanPAC(Method):
    """Train adapters with a cosine head on the first task, freeze them for ever; from then on only solve for the head.

    After every task the second moments of the random features, pooled over all classes, and their sum for each class
    are updated: statistics of old tasks are stored, though no single image or feature. From the second task on
    `param_groups` is empty and `losses` has no terms: there is nothing to train.

    Args:
        backbone: Frozen throughout.
        adaptation: What learns on the first task: ``"adapter"`` (a bottleneck beside every MLP), ``"ssf"`` (a scale and
            shift after every linear map and norm), or ``"none"``.
        adapter_width: Hidden width of an adapter; None means 64, but at most a quarter of the backbone's width.
        projection_dim: Number M of random features; None means 10,000, in proportion below a width of 768.
        dropout: Probability of dropping a hidden unit of the adapter in a training step.

    Source:
        McDonnell et al., arXiv 2307.02251, and the authors' code: the head is linear, neither features nor rows are
        normalised; lambda is not rescaled although the sums grow with every task.
    """

    facts: Facts = Facts(
        trains="adapters, on the first task alone",
        source="arXiv 2307.02251",
        rehearsal_free=False,
        one_pass=True,
        end_to_end=False,
    )
    mergeable: ClassVar[bool] = False
    from_data: Mapping[str, Origin] = {
        "head.gram": "statistics",
        "head.cross": "statistics",
        "head.strengths": "statistics",
        "head.weight": "weights",
    }

    head: RandomProjectionHead
    adapters: Bottlenecks | nn.ModuleList
    training_head: CosineHead | None

    def __init__(
        self,
        backbone: Backbone,
        *,
        adaptation: Adaptation = "adapter",
        adapter_width: int | None = None,
        projection_dim: int | None = None,
        dropout: float = 0.1,
    ) -> None:
        super().__init__(backbone)
        if adaptation not in get_args(Adaptation):
            raise ConfigError(f'adaptation = "{adaptation}"', expected=f"one of {', '.join(get_args(Adaptation))}")
        if adaptation != "none":
            blocks_of(backbone.model)  # told now, not at the first task
        self.adaptation = adaptation
        self.adapter_width = bottleneck_width(backbone.feature_dim, adapter_width)
        self.projection_dim = projection_width(backbone.feature_dim, projection_dim)
        self.dropout = dropout

    def begin_task(self, task: Task) -> None:
        if task.index == 0:
            self._begin_first(task.num_classes)
        else:
            self.adapters.requires_grad_(False)
            self.training_head = None
        self.head.grow(task.num_classes)

    def _begin_first(self, num_classes: int) -> None:
        width, device = self.backbone.feature_dim, self.backbone.mean.device
        self.head = RandomProjectionHead(width, self.projection_dim, device=device)
        model = self.backbone.model
        if self.adaptation == "adapter":
            self.adapters = Bottlenecks(blocks_of(model), width=self.adapter_width, dropout=self.dropout)
            self.adapters.add(width, device)
        else:
            self.adapters = scale_and_shift(model) if self.adaptation == "ssf" else nn.ModuleList()
        self.training_head = CosineHead(width, num_classes, device=device) if len(self.adapters) else None

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        if self.training_head is None:
            return {}
        with using(dropout=True):
            features = self.backbone(images)
        return {"cross_entropy": self.training_head.loss(features, labels)}

    @torch.no_grad()
    def end_task(self, data: TaskData) -> None:
        batches = [(self.backbone(images), labels) for images, labels in data.plain]
        features, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
        self.head.fit(features, labels)

    def report(self) -> dict[str, float | list[float]]:
        """Return lambda of every task, and whether the newest is the smallest or largest one tried (0 or 1)."""
        return {"ridge_lambda": self.head.strengths.tolist(), "ridge_lambda_at_edge": float(self.head.at_edge)}

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(images)
        if self.training_head is not None and int(self.head.num_fitted) == 0:
            return cast(Tensor, self.training_head(features))
        return cast(Tensor, self.head(features))
