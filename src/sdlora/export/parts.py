"""What is exported: a method that has learned, and what one must know to use it elsewhere."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch import nn

from sdlora.adapters.inject import remove
from sdlora.backbones.vit import Backbone
from sdlora.datasets.base import AugmentOptions
from sdlora.errors import ConfigError
from sdlora.methods.base import Method
from sdlora.methods.linear_classifier import LinearClassifier

if TYPE_CHECKING:
    from sdlora.learner import Learner


@dataclass(frozen=True)
class Parts:
    """A classifier and its surroundings.

    Attributes:
        method: In evaluation mode, on the CPU; an export leaves it as it is.
        classes: Names in the order of its logits.
        augment: How much of an image it sees at test.
        card: Text of its model card; empty if there is none.
    """

    method: Method
    classes: tuple[str, ...]
    augment: AugmentOptions = field(default_factory=AugmentOptions)
    card: str = ""

    def __post_init__(self) -> None:
        if not self.classes:
            raise ConfigError("no class was taught yet", expected="at least one lesson before an export")

    @property
    def backbone(self) -> Backbone:
        """What the method adapts."""
        return self.method.backbone

    @property
    def layers(self) -> tuple[int, ...] | None:
        """Indices of the blocks whose tokens predict; None if the feature of the backbone does."""
        return self.method.feature_layers if isinstance(self.method, LinearClassifier) else None

    @property
    def shorter_side(self) -> int:
        """Length to which the shorter side of an image is resized before its centre is cut out, pixels."""
        return self.augment.shorter_side(self.backbone.image_size)


def parts_of(taught: Learner | Parts, card: str = "") -> Parts:
    """Return the parts of a learner; its method is copied to the CPU where it is elsewhere.

    Raises:
        ConfigError: If it was taught nothing.
    """
    if isinstance(taught, Parts):
        return taught
    method = taught.method
    if any(tensor.device.type != "cpu" for tensor in method.state_dict().values()):
        method = copy.deepcopy(method).cpu()
    return Parts(method.eval(), taught.classes, taught.augment, card)


def plain_backbone(parts: Parts) -> nn.Module:
    """Return a copy of the backbone's model without adapters or classifier."""
    model = copy.deepcopy(parts.backbone.model)
    remove(model)
    return model
