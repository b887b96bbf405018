"""Full fine-tuning on all tasks at once: the upper bound, outside the protocol."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from sdlora.backbones.vit import Backbone
from sdlora.methods.base import METHODS, Facts
from sdlora.methods.linear_classifier import LinearClassifier


@METHODS.register("joint")
class Joint(LinearClassifier):
    """Train every weight and one head on the whole stream as a single task.

    Args:
        backbone: Where to start from.
        head_lr_scale: Multiplies the learning rate of the head.
    """

    facts: Facts = Facts(
        trains="all weights, on all tasks at once",
        source="upper bound",
        rehearsal_free=False,
        one_pass=True,
        end_to_end=True,
    )
    mergeable: ClassVar[bool] = True
    joint: ClassVar[bool] = True

    def __init__(self, backbone: Backbone, *, head_lr_scale: float = 1.0) -> None:
        super().__init__(backbone, head_lr_scale=head_lr_scale)
        self.backbone.model.requires_grad_(True)

    def trained(self) -> list[nn.Parameter]:
        return list(self.backbone.parameters())
