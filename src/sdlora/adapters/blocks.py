"""The blocks of a timm vision transformer, for what must know how one is built."""

from __future__ import annotations

from torch import nn

from sdlora.errors import ConfigError


def blocks_of(model: nn.Module) -> nn.Sequential | nn.ModuleList:
    """Return the blocks of a timm ``VisionTransformer``.

    Raises:
        ConfigError: If the model is built otherwise.
    """
    blocks = getattr(model, "blocks", None)
    if not isinstance(blocks, nn.Sequential | nn.ModuleList):
        raise ConfigError(
            f"a {type(model).__name__} takes no prompts, and no adapters beside its blocks",
            expected="timm's VisionTransformer, or a method that adapts linear layers alone",
        )
    return blocks
