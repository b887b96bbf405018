"""Full fine-tuning, one task after another: the method that forgets."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from sdlora.backbones.vit import Backbone
from sdlora.methods.base import METHODS, Facts
from sdlora.methods.linear_classifier import LinearClassifier


@METHODS.register("finetune")
class Finetune(LinearClassifier):
    """Train every weight of the backbone and the newest block of the head on each task in turn.

    Args:
        backbone: Where to start from.
        head_lr_scale: Multiplies the learning rate of the head.
    """

    facts: Facts = Facts(
        trains="all weights",
        source="arXiv 2501.13198, Table 2",
        rehearsal_free=True,
        one_pass=True,
        end_to_end=True,
    )
    mergeable: ClassVar[bool] = True

    def __init__(self, backbone: Backbone, *, head_lr_scale: float = 1.0) -> None:
        super().__init__(backbone, head_lr_scale=head_lr_scale)
        self.backbone.model.requires_grad_(True)

    def trained(self) -> list[nn.Parameter]:
        return list(self.backbone.parameters())
