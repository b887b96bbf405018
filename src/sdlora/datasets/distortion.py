"""Distort character masters into pictures: the augmentation of pretraining, and one half of the offline benchmarks.

Its strokes are thinned or fattened, it is bent (affine and elastic), painted with two colours and shading, blurred and
roughened with noise. Everything runs on a whole batch and draws from one generator, so a seed fixes every pixel.

Letters: N images, S side of a master, P side of a picture.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PICTURE = 32  # side of a picture, pixels


def distort(masters: Tensor, generator: torch.Generator, *, size: int = PICTURE) -> Tensor:
    """Turn masters into freshly distorted colour pictures, at the strength used in pretraining.

    Args:
        masters: Coverage (N, 1, S, S), float in 0..1, ink 1.
        generator: Source of every random number.
        size: Side P of the pictures, pixels.

    Returns:
        Pictures (N, 3, P, P), float in 0..1.
    """
    ink = bend(vary_strokes(masters, generator), generator, size=size)
    return add_noise(coarsen(paint(ink, generator), generator), generator)


def uniform(generator: torch.Generator, low: float, high: float, *shape: int) -> Tensor:
    """Draw uniform numbers between `low` and `high` of the given shape."""
    return torch.rand(shape, generator=generator) * (high - low) + low


def vary_strokes(masters: Tensor, generator: torch.Generator) -> Tensor:
    """Fatten a third of the masters by up to one pixel a side, thin a third by up to half of that."""
    count = len(masters)
    fat = F.max_pool2d(masters, 3, stride=1, padding=1)
    thin = -F.max_pool2d(-masters, 3, stride=1, padding=1)
    kind = torch.randint(0, 3, (count, 1, 1, 1), generator=generator)
    amount = uniform(generator, 0.0, 1.0, count, 1, 1, 1)
    fattened = torch.lerp(masters, fat, amount)
    thinned = torch.lerp(masters, thin, 0.5 * amount)
    return torch.where(kind == 1, fattened, torch.where(kind == 2, thinned, masters))


def bend(
    masters: Tensor,
    generator: torch.Generator,
    *,
    size: int = PICTURE,
    turn: float = 0.26,
    shear: float = 0.25,
    shift: float = 0.10,
    elastic: float = 0.05,
) -> Tensor:
    """Resample masters under a random affine map and a smooth random displacement.

    Args:
        masters: (N, C, S, S) in 0..1.
        generator: Source of every random number.
        size: Side P of the result, pixels.
        turn: Largest rotation, radians.
        shear: Largest horizontal shear, unitless.
        shift: Largest translation, half sides.
        elastic: Standard deviation of the displacement at the nodes of a 5 x 5 grid, half sides.

    Returns:
        Ink (N, C, P, P) in 0..1.
    """
    count = len(masters)
    angle = uniform(generator, -turn, turn, count)
    slant = uniform(generator, -shear, shear, count)
    zoom = torch.exp(uniform(generator, -0.12, 0.25, count))  # sampling step: above 1 the character shrinks
    aspect = torch.exp(uniform(generator, -0.12, 0.12, count))
    cos, sin = torch.cos(angle), torch.sin(angle)
    offset = uniform(generator, -shift, shift, count, 2)
    row_x = torch.stack([zoom * aspect * cos, zoom * (slant * cos - sin), offset[:, 0]], dim=1)
    row_y = torch.stack([zoom * sin, zoom / aspect * (slant * sin + cos), offset[:, 1]], dim=1)
    theta = torch.stack([row_x, row_y], dim=1)  # (N, 2, 3)
    grid = F.affine_grid(theta, [count, 1, size, size], align_corners=False)
    nodes = torch.randn((count, 2, 5, 5), generator=generator) * elastic
    wobble = F.interpolate(nodes, size=(size, size), mode="bicubic", align_corners=True)
    return F.grid_sample(masters, grid + wobble.permute(0, 2, 3, 1), padding_mode="border", align_corners=False)


def paint(ink: Tensor, generator: torch.Generator) -> Tensor:
    """Paint ink on paper: two colours at least 0.3 apart in grey value, each shaded by a smooth random field."""
    count, _, side, _ = ink.shape
    colours = uniform(generator, 0.0, 1.0, count, 2, 3)
    grey = colours.mean(dim=2, keepdim=True)  # (N, 2, 1)
    middle = grey.mean(dim=1, keepdim=True)
    gap = grey[:, :1] - grey[:, 1:]
    sign = torch.where(gap >= 0, 1.0, -1.0)
    short = (0.3 - gap.abs()).clamp(min=0) / 2 * sign
    colours = colours + torch.cat([short, -short], dim=1) + (0.5 - middle) * 0.3
    fields = torch.randn((count, 2, 3, 3), generator=generator) * uniform(generator, 0.0, 0.15, count, 1, 1, 1)
    shade = F.interpolate(fields, size=(side, side), mode="bilinear", align_corners=True)  # (N, 2, P, P)
    paper = colours[:, 0, :, None, None] + shade[:, :1]
    pen = colours[:, 1, :, None, None] + 0.5 * shade[:, 1:]
    return torch.lerp(paper, pen, ink).clamp(0, 1)


def coarsen(pictures: Tensor, generator: torch.Generator, *, share: float = 0.2) -> Tensor:
    """Blur a random share of the pictures by way of a smaller one, 10 to 20 pixels wide."""
    side = pictures.shape[-1]
    small = int(torch.randint(10, 21, (1,), generator=generator))
    chosen = uniform(generator, 0.0, 1.0, len(pictures)) < share
    coarse = F.interpolate(pictures[chosen], size=(small, small), mode="area")
    result = pictures.clone()
    result[chosen] = F.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=False)
    return result


def add_noise(pictures: Tensor, generator: torch.Generator, *, largest: float = 0.1) -> Tensor:
    """Add Gaussian noise, its standard deviation uniform up to `largest` of the full range."""
    sigma = uniform(generator, 0.0, largest, len(pictures), 1, 1, 1)
    return (pictures + torch.randn(pictures.shape, generator=generator) * sigma).clamp(0, 1)
