"""A linear probe: the frozen backbone with a head that grows."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from sdlora.backbones.vit import MOST_FEATURES, Backbone
from sdlora.methods.base import METHODS, Facts
from sdlora.methods.linear_classifier import HeadInit, HeadKind, Layers, LinearClassifier


@METHODS.register("probe")
class Probe(LinearClassifier):
    """Train the newest block of the head alone; what any method gains over it comes from adapting the backbone.

    Args:
        backbone: Frozen throughout.
        head: What predicts; this and the arguments below as in `sdlora.methods.linear_classifier.LinearClassifier`.
        head_init: How a new block of the linear head starts.
        head_lr_scale: Multiplies the learning rate of the linear head.
        layers: Features of a head that is solved.
        max_features: Their width at most.
    """

    facts: Facts = Facts(
        trains="the head alone",
        source="linear probing",
        rehearsal_free=True,
        one_pass=True,
        end_to_end=True,
    )
    mergeable: ClassVar[bool] = True

    def __init__(
        self,
        backbone: Backbone,
        *,
        head: HeadKind = "linear",
        head_init: HeadInit = "default",
        head_lr_scale: float = 1.0,
        layers: Layers = None,
        max_features: int = MOST_FEATURES,
    ) -> None:
        super().__init__(
            backbone,
            head=head,
            head_init=head_init,
            head_lr_scale=head_lr_scale,
            layers=layers,
            max_features=max_features,
            adapt_tasks=None if head == "linear" else 0,  # nothing that is trained would predict
        )

    def trained(self) -> list[nn.Parameter]:
        return []
