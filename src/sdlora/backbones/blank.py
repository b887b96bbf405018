"""timm's architectures without their weights, for whatever does not depend on them: shapes, counts, costs."""

from __future__ import annotations

import timm

from sdlora.backbones.vit import Backbone
from sdlora.errors import ConfigError


def blank_vit(name: str) -> Backbone:
    """Build a timm vision transformer with random weights; nothing is fetched.

    Args:
        name: A timm name; a tag of weights is passed over.

    Raises:
        ConfigError: If timm knows no such model, or it is not a plain vision transformer.
    """
    base = name.partition(".")[0]
    if not timm.is_model(base):
        raise ConfigError(f'timm has no model called "{base}"', expected="a name such as vit_base_patch16_224")
    return Backbone(timm.create_model(base, pretrained=False), name=base, sha256="random")
