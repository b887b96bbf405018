"""Plain LoRA, one task after another: one low-rank pair in each projection that every task goes on training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import nn

from sdlora.adapters import LoRALinear, inject
from sdlora.backbones.vit import MOST_FEATURES, Backbone
from sdlora.methods.base import METHODS, Facts
from sdlora.methods.linear_classifier import HeadInit, HeadKind, Layers, LinearClassifier


@METHODS.register("lora")
class LoRA(LinearClassifier):
    """Train the same low-rank pairs, and the newest block of the head, on each task in turn.

        h' = W0 x + (alpha / rank) B A x     (arXiv 2106.09685, eq. 3)

    Args:
        backbone: What is adapted; it stays frozen.
        targets: Projections to adapt.
        rank: Rank of each pair.
        alpha: The update is multiplied by alpha / rank.
        head: What predicts; this and the arguments below as in `sdlora.methods.linear_classifier.LinearClassifier`.
        head_init: How a new block of the linear head starts.
        head_lr_scale: Multiplies the learning rate of the linear head.
        layers: Features of a head that is solved.
        max_features: Their width at most.
        adapt_tasks: Number of tasks on which anything is trained.
    """

    facts: Facts = Facts(
        trains="one low-rank pair a projection, the head",
        source="arXiv 2106.09685",
        rehearsal_free=True,
        one_pass=True,
        end_to_end=True,
    )
    mergeable: ClassVar[bool] = True

    def __init__(
        self,
        backbone: Backbone,
        *,
        targets: Sequence[str] = ("qkv:q", "qkv:v"),
        rank: int = 10,
        alpha: float = 10.0,
        head: HeadKind = "linear",
        head_init: HeadInit = "default",
        head_lr_scale: float = 1.0,
        layers: Layers = None,
        max_features: int = MOST_FEATURES,
        adapt_tasks: int | None = None,
    ) -> None:
        super().__init__(
            backbone,
            head=head,
            head_init=head_init,
            head_lr_scale=head_lr_scale,
            layers=layers,
            max_features=max_features,
            adapt_tasks=adapt_tasks,
        )
        adapters = inject(
            backbone.model, targets, lambda base, rows: LoRALinear(base, rows, rank=rank, alpha=alpha)
        ).values()
        self._pairs = tuple(pair for adapter in adapters for pair in adapter.pairs)  # registered in the backbone

    def trained(self) -> list[nn.Parameter]:
        return [factor for pair in self._pairs for factor in (pair.lora_A, pair.lora_B)]
