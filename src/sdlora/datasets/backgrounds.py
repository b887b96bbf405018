"""Backgrounds to put drawings on: plain colours, gradients and simple textures, all from one generator.

A background blends two colours by a pattern in 0..1. Letters: N images, P side of an image.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sdlora.datasets.distortion import uniform

Pattern = Callable[[int, int, torch.Generator], Tensor]


def plain(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return zeros: one colour."""
    return torch.zeros(count, 1, size, size)


def gradient(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return a ramp across the image in a random direction."""
    return (0.5 + _along(count, size, generator) / 2).clamp(0, 1)


def clouds(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return smooth noise of 4 x 4 nodes."""
    nodes = torch.rand((count, 1, 4, 4), generator=generator)
    return F.interpolate(nodes, size=(size, size), mode="bicubic", align_corners=True).clamp(0, 1)


def stripes(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return 2 to 5 soft-edged stripes in a random direction."""
    waves = uniform(generator, 2.0, 5.0, count, 1, 1, 1)
    return _soft(torch.sin(torch.pi * waves * _along(count, size, generator)), waves, size)


def checks(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return an upright chequered pattern of 2 to 5 periods."""
    waves = uniform(generator, 2.0, 5.0, count, 1, 1, 1)
    shift = uniform(generator, 0.0, 2 * torch.pi, count, 2, 1, 1)
    x, y = _coordinates(size)
    columns = torch.sin(torch.pi * waves * x + shift[:, :1])
    rows = torch.sin(torch.pi * waves * y + shift[:, 1:])
    return _soft(columns, waves, size) * (1 - 2 * _soft(rows, waves, size)) + _soft(rows, waves, size)


def dots(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return a grid of discs, 3 to 6 a side."""
    waves = uniform(generator, 3.0, 6.0, count, 1, 1, 1)
    shift = uniform(generator, 0.0, 2 * torch.pi, count, 2, 1, 1)
    x, y = _coordinates(size)
    height = torch.cos(torch.pi * waves * x + shift[:, :1]) + torch.cos(torch.pi * waves * y + shift[:, 1:])
    return _soft(height - 0.8, waves, size)


PATTERNS: dict[str, Pattern] = {
    "plain": plain,
    "gradient": gradient,
    "clouds": clouds,
    "stripes": stripes,
    "checks": checks,
    "dots": dots,
}


def backgrounds(count: int, size: int, generator: torch.Generator, *, contrast: float = 1.0) -> Tensor:
    """Draw backgrounds, each with a random pattern and two random colours.

    Args:
        count: Number N of backgrounds.
        size: Side P, pixels.
        generator: Source of every random number.
        contrast: How far the second colour lies from the first: 0 the same, 1 drawn independently.

    Returns:
        Images (N, 3, P, P), float in 0..1.
    """
    kind = torch.randint(0, len(PATTERNS), (count,), generator=generator)
    first, second = uniform(generator, 0.0, 1.0, 2, count, 3, 1, 1)
    second = torch.lerp(first, second, contrast)
    blend = torch.empty(count, 1, size, size)
    for number, pattern in enumerate(PATTERNS.values()):
        chosen = kind == number
        blend[chosen] = pattern(int(chosen.sum()), size, generator)
    return torch.lerp(first, second, blend)


def _coordinates(size: int) -> tuple[Tensor, Tensor]:
    """Return x (1, 1, 1, P) and y (1, 1, P, 1), from -1 to 1."""
    steps = torch.linspace(-1, 1, size)
    return steps[None, None, None, :], steps[None, None, :, None]


def _along(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Return the coordinate along a random direction (N, 1, P, P), from -1 to 1 within the inscribed circle."""
    angle = uniform(generator, 0.0, 2 * torch.pi, count, 1, 1, 1)
    x, y = _coordinates(size)
    return x * torch.cos(angle) + y * torch.sin(angle)


def _soft(height: Tensor, waves: Tensor, size: int) -> Tensor:
    """Return 1 where `height` is positive, with an edge about two pixels wide."""
    slope = size / (2 * torch.pi * waves)  # a wave's steepest rise is pi * waves * 2 / size a pixel
    return (0.5 + height * slope).clamp(0, 1)
