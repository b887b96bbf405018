"""A linear probe: the frozen backbone with a head that grows."""

from __future__ import annotations

from typing import ClassVar

from torch import nn

from sdlora.methods.base import METHODS, Facts
from sdlora.methods.linear_classifier import LinearClassifier


@METHODS.register("probe")
class Probe(LinearClassifier):
    """Train the newest block of the head alone; what any method gains over it comes from adapting the backbone.

    Args:
        backbone: Frozen throughout.
        head_init: How a new block of the head starts, see `sdlora.heads.LinearHead`.
        head_lr_scale: Multiplies the learning rate of the head.
    """

    facts: ClassVar[Facts] = Facts(
        trains="the head alone",
        source="linear probing",
        rehearsal_free=True,
        one_pass=True,
        end_to_end=True,
    )
    mergeable: ClassVar[bool] = True

    def trained(self) -> list[nn.Parameter]:
        return []
