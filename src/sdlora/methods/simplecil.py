"""SimpleCIL: class means on the frozen backbone, no training at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, cast

import torch
from torch import Tensor

from sdlora.backbones.vit import Backbone
from sdlora.heads import PrototypeHead
from sdlora.methods.base import METHODS, Facts, Method, Origin
from sdlora.task import Task, TaskData


@METHODS.register("simplecil")
class SimpleCIL(Method):
    """Classify by the cosine to the mean feature of each class.

    Args:
        backbone: Frozen throughout.
    """

    facts: Facts = Facts(
        trains="nothing; class means predict",
        source="arXiv 2303.07338",
        rehearsal_free=True,
        one_pass=True,
        end_to_end=False,
    )
    mergeable: ClassVar[bool] = False
    from_data: Mapping[str, Origin] = {"head.means": "weights"}
    num_epochs: ClassVar[int | None] = 0

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.head = PrototypeHead(backbone.feature_dim)

    def begin_task(self, task: Task) -> None:
        self.head.grow(task.num_classes)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {}

    @torch.no_grad()
    def end_task(self, data: TaskData) -> None:
        self.head.fit((self.backbone(images), labels) for images, labels in data.plain)

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.backbone(images)))
