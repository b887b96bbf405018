"""What methods share whose task loss is the cross-entropy on one linear head."""

from __future__ import annotations

from abc import abstractmethod
from typing import Literal, cast

from torch import Tensor, nn

from sdlora.backbones.vit import Backbone
from sdlora.heads import LinearHead
from sdlora.methods.base import Method, ParamGroup
from sdlora.task import Task


class LinearClassifier(Method):
    """A backbone, changed or not, under a linear head of one block a task; abstract.

    Args:
        backbone: What computes the features.
        head_init: How a new block of the head starts, see `sdlora.heads.LinearHead`.
        head_lr_scale: Multiplies the learning rate of the head.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        head_init: Literal["default", "released"] = "default",
        head_lr_scale: float = 1.0,
    ) -> None:
        super().__init__(backbone)
        self.head = LinearHead(backbone.feature_dim, init=head_init)
        self.head_lr_scale = head_lr_scale

    def begin_task(self, task: Task) -> None:
        self.head.grow(task.num_classes)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"cross_entropy": self.head.loss(self.backbone(images), labels)}

    @abstractmethod
    def trained(self) -> list[nn.Parameter]:
        """Return what the current task trains besides the newest block of the head."""

    def param_groups(self) -> list[ParamGroup]:
        head = [p for p in self.head.parameters() if p.requires_grad]
        groups: list[ParamGroup] = [{"params": self.trained()}, {"params": head, "lr_scale": self.head_lr_scale}]
        return [group for group in groups if group["params"]]

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.backbone(images)))
