"""Names under which `load_backbone` finds something."""

from __future__ import annotations

import timm

from sdlora.backbones.vit import SHIPPED, UNTRAINED


def backbone_names() -> list[str]:
    """Return the two names of this package, then timm's plain vision transformers with their weight tags."""
    plain = timm.list_models(module="vision_transformer", pretrained=True, include_tags=True)
    return [SHIPPED, UNTRAINED, *plain]
