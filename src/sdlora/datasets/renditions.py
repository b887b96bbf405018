"""Ways of drawing a character that pretraining never saw, as ImageNet-R is to ImageNet: cartoons, stamps, badges.

Each rendition maps coverage masks (N, 1, S, S) in 0..1 to such masks. They make the offline benchmarks need adaptation:
on these pictures class means of the frozen backbone are mediocre while joint training is good (docs/benchmark.md).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sdlora.datasets.distortion import uniform

Rendition = Callable[[Tensor, torch.Generator], Tensor]


def outline(masters: Tensor, generator: torch.Generator) -> Tensor:
    """Keep the contour alone."""
    fat = F.max_pool2d(masters, 3, stride=1, padding=1)
    thin = -F.max_pool2d(-masters, 3, stride=1, padding=1)
    return fat - thin


def hatch(masters: Tensor, generator: torch.Generator) -> Tensor:
    """Fill the strokes with parallel lines of a random direction, 4 to 7 pixels apart."""
    x, y = _coordinates(masters)
    angle = uniform(generator, 0.0, torch.pi, len(masters), 1, 1, 1)
    period = uniform(generator, 4.0, 7.0, len(masters), 1, 1, 1)
    wave = torch.sin(2 * torch.pi * (x * torch.cos(angle) + y * torch.sin(angle)) / period)
    return masters * (0.5 + 2 * wave).clamp(0, 1)


def ragged(masters: Tensor, generator: torch.Generator) -> Tensor:
    """Tear the edges: displace every point by rough noise."""
    count, _, side, _ = masters.shape
    identity = torch.eye(2, 3).expand(count, 2, 3)
    grid = F.affine_grid(identity, [count, 1, side, side], align_corners=False)
    rough = torch.randn((count, 2, 16, 16), generator=generator) * 0.06
    shift = F.interpolate(rough, size=(side, side), mode="bilinear", align_corners=False)
    return F.grid_sample(masters, grid + shift.permute(0, 2, 3, 1), align_corners=False)


def framed(masters: Tensor, generator: torch.Generator) -> Tensor:
    """Put the character, made smaller, into a ring or a square."""
    return torch.maximum(_shrink(masters), _frame(masters, generator, solid=False))


def stamped(masters: Tensor, generator: torch.Generator) -> Tensor:
    """Cut the character, made smaller, out of a disc or a square."""
    return _frame(masters, generator, solid=True) * (1 - _shrink(masters))


def ruled(masters: Tensor, generator: torch.Generator) -> Tensor:
    """Draw thin parallel lines of a random direction behind the character, 8 to 12 pixels apart."""
    x, y = _coordinates(masters)
    angle = uniform(generator, 0.0, torch.pi, len(masters), 1, 1, 1)
    period = uniform(generator, 8.0, 12.0, len(masters), 1, 1, 1)
    phase = uniform(generator, 0.0, 1.0, len(masters), 1, 1, 1)
    along = (x * torch.cos(angle) + y * torch.sin(angle)) / period + phase
    distance = (along - along.round()).abs() * period
    return torch.maximum(masters, (2.0 - distance).clamp(0, 1))


def _shrink(masters: Tensor) -> Tensor:
    side = masters.shape[-1]
    small = F.interpolate(masters, scale_factor=0.75, mode="area")
    before = (side - small.shape[-1]) // 2
    after = side - small.shape[-1] - before
    return F.pad(small, (before, after, before, after))


def _frame(masters: Tensor, generator: torch.Generator, *, solid: bool) -> Tensor:
    """Return rings and squares (N, 1, S, S), half of each, filled if `solid`."""
    x, y = _coordinates(masters)
    middle = (masters.shape[-1] - 1) / 2
    dx, dy = (x - middle).abs(), (y - middle).abs()
    round_ = uniform(generator, 0.0, 1.0, len(masters), 1, 1, 1) < 0.5
    distance = torch.where(round_, torch.sqrt(dx**2 + dy**2) - 21.5, torch.maximum(dx, dy) - 19.5)
    return (0.5 - distance).clamp(0, 1) if solid else (2.0 - (distance + 1).abs()).clamp(0, 1)


RENDITIONS: dict[str, Rendition] = {
    "outline": outline,
    "hatch": hatch,
    "ragged": ragged,
    "framed": framed,
    "stamped": stamped,
    "ruled": ruled,
}


def render(masters: Tensor, generator: torch.Generator) -> Tensor:
    """Give each master one rendition, drawn evenly.

    Args:
        masters: (N, 1, S, S) in 0..1.
        generator: Source of every random number.

    Returns:
        Masks of the same shape.
    """
    kind = torch.randint(0, len(RENDITIONS), (len(masters),), generator=generator)
    result = torch.empty_like(masters)
    for number, rendition in enumerate(RENDITIONS.values()):
        chosen = kind == number
        if chosen.any():
            result[chosen] = rendition(masters[chosen], generator)
    return result


def _coordinates(masters: Tensor) -> tuple[Tensor, Tensor]:
    """Return x (1, 1, 1, S) and y (1, 1, S, 1), pixels."""
    steps = torch.arange(masters.shape[-1], dtype=torch.float32)
    return steps[None, None, None, :], steps[None, None, :, None]
