"""Full fine-tuning on all tasks at once: the upper bound, outside the protocol."""

from __future__ import annotations

from typing import ClassVar, cast

from torch import Tensor

from sdlora.backbones.vit import Backbone
from sdlora.heads import LinearHead
from sdlora.methods.base import METHODS, Facts, Method, ParamGroup
from sdlora.task import Task


@METHODS.register("joint")
class Joint(Method):
    """Train every weight and one head on the whole stream as a single task.

    Args:
        backbone: Where to start from.
        head_lr_scale: Multiplies the learning rate of the head.
    """

    facts: ClassVar[Facts] = Facts(
        trains="all weights, on all tasks at once",
        source="upper bound; sees all data together",
        rehearsal_free=False,
        one_pass=True,
        end_to_end=True,
    )
    mergeable: ClassVar[bool] = True
    joint: ClassVar[bool] = True

    def __init__(self, backbone: Backbone, *, head_lr_scale: float = 1.0) -> None:
        super().__init__(backbone)
        self.backbone.model.requires_grad_(True)
        self.head = LinearHead(backbone.feature_dim)
        self.head_lr_scale = head_lr_scale

    def begin_task(self, task: Task) -> None:
        self.head.grow(task.num_classes)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"cross_entropy": self.head.loss(self.backbone(images), labels)}

    def param_groups(self) -> list[ParamGroup]:
        head = [p for p in self.head.parameters() if p.requires_grad]
        return [
            {"params": list(self.backbone.parameters())},
            {"params": head, "lr_scale": self.head_lr_scale},
        ]

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.backbone(images)))
