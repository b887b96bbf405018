"""A linear probe: the frozen backbone with a head that grows."""

from __future__ import annotations

from typing import ClassVar, cast

from torch import Tensor

from sdlora.backbones.vit import Backbone
from sdlora.heads import LinearHead
from sdlora.methods.base import METHODS, Facts, Method
from sdlora.task import Task


@METHODS.register("probe")
class Probe(Method):
    """Train the newest block of the head alone; what any method gains over it comes from adapting the backbone.

    Args:
        backbone: Frozen throughout.
    """

    facts: ClassVar[Facts] = Facts(
        trains="the head alone",
        source="linear probing",
        rehearsal_free=True,
        one_pass=True,
        end_to_end=True,
    )
    mergeable: ClassVar[bool] = True

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.head = LinearHead(backbone.feature_dim)

    def begin_task(self, task: Task) -> None:
        self.head.grow(task.num_classes)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"cross_entropy": self.head.loss(self.backbone(images), labels)}

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.backbone(images)))
