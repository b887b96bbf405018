"""A learned scale and shift after every linear map and norm of a vision transformer (SSF).

Source: Lian et al., arXiv 2210.08823. Letters: C channels of an output.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class ScaleShift(nn.Module):
    """y = scale * x + shift, channel by channel.

    Both start as normal numbers of deviation 0.02, scale around 1 and shift around 0.

    Args:
        num_channels: C.
        device: Where its parameters live.

    Shape:
        Input and output (..., C).
    """

    def __init__(self, num_channels: int, *, device: torch.device | None = None) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.empty(num_channels, device=device).normal_(1.0, 0.02))
        self.shift = nn.Parameter(torch.empty(num_channels, device=device).normal_(0.0, 0.02))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.scale + self.shift


class ShiftedLayer(nn.Module):
    """A layer with a `ScaleShift` behind it.

    Args:
        base: A linear layer, a layer norm, or a convolution, whose channels come second.
        scale_shift: Owned by somebody else.

    Shape:
        Those of `base`.
    """

    def __init__(self, base: nn.Module, scale_shift: ScaleShift) -> None:
        super().__init__()
        self.base = base
        self._shared = (scale_shift,)  # in a tuple it is no submodule, yet a deep copy keeps it shared

    def forward(self, x: Tensor) -> Tensor:
        (scale_shift,) = self._shared
        if isinstance(self.base, nn.Conv2d):
            return cast(Tensor, scale_shift(self.base(x).movedim(1, -1)).movedim(-1, 1))
        return cast(Tensor, scale_shift(self.base(x)))


def scale_and_shift(model: nn.Module) -> nn.ModuleList:
    """Put a scale and shift behind every linear layer and layer norm, and behind the patch projection.

    Args:
        model: A timm vision transformer, changed in place.

    Returns:
        What learns, a `ScaleShift` for each layer; the model refers to it and does not own it.
    """
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.LayerNorm)]
    made = nn.ModuleList()
    for name in ["patch_embed.proj", *names]:
        base = model.get_submodule(name)
        weight = cast(Tensor, base.weight)
        made.append(ScaleShift(weight.shape[0], device=weight.device))
        model.set_submodule(name, ShiftedLayer(base, cast(ScaleShift, made[-1])))
    return made
