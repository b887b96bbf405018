"""Ways of drawing a character that pretraining never saw, as ImageNet-R is to ImageNet: drawings, reliefs, mosaics.

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


def halftone(masters: Tensor, generator: torch.Generator) -> Tensor:
    """Print the character as a raster of dots, 5 to 7 pixels apart, on a fainter raster."""
    x, y = _coordinates(masters)
    period = uniform(generator, 5.0, 7.0, len(masters), 1, 1, 1)
    turn = uniform(generator, 0.0, torch.pi / 2, len(masters), 1, 1, 1)
    u, v = x * torch.cos(turn) + y * torch.sin(turn), y * torch.cos(turn) - x * torch.sin(turn)
    raster = torch.sin(2 * torch.pi * u / period) * torch.sin(2 * torch.pi * v / period)  # -1..1
    grey = F.avg_pool2d(masters, 5, stride=1, padding=2)
    return (3 * (grey * 1.8 - 0.7 + raster * 0.7) + 0.5).clamp(0, 1)


def mosaic(masters: Tensor, generator: torch.Generator) -> Tensor:
    """Break the character into tiles of four pixels, a third of them missing."""
    count, _, side, _ = masters.shape
    kept = (uniform(generator, 0.0, 1.0, count, 1, side // 4, side // 4) < 0.68).float()
    return masters * F.interpolate(kept, size=(side, side), mode="nearest")


def relief(masters: Tensor, generator: torch.Generator) -> Tensor:
    """Light the character from one side: a bright and a dark edge on grey."""
    dx, dy = (int(step) for step in torch.randint(-2, 3, (2,), generator=generator))
    moved = torch.roll(masters, (dy or 2, dx or 2), dims=(2, 3))
    return 0.5 + 0.5 * (masters - moved)


def counterchange(masters: Tensor, generator: torch.Generator) -> Tensor:
    """Swap ink and paper on one side of a random straight line through the middle."""
    x, y = _coordinates(masters)
    middle = (masters.shape[-1] - 1) / 2
    angle = uniform(generator, 0.0, 2 * torch.pi, len(masters), 1, 1, 1)
    offset = uniform(generator, -6.0, 6.0, len(masters), 1, 1, 1)
    beyond = (x - middle) * torch.cos(angle) + (y - middle) * torch.sin(angle) > offset
    return torch.where(beyond, 1 - masters, masters)


def ragged(masters: Tensor, generator: torch.Generator) -> Tensor:
    """Tear the edges: displace every point by rough noise."""
    count, _, side, _ = masters.shape
    identity = torch.eye(2, 3).expand(count, 2, 3)
    grid = F.affine_grid(identity, [count, 1, side, side], align_corners=False)
    rough = torch.randn((count, 2, 16, 16), generator=generator) * 0.06
    shift = F.interpolate(rough, size=(side, side), mode="bilinear", align_corners=False)
    return F.grid_sample(masters, grid + shift.permute(0, 2, 3, 1), align_corners=False)


RENDITIONS: dict[str, Rendition] = {
    "outline": outline,
    "hatch": hatch,
    "halftone": halftone,
    "mosaic": mosaic,
    "relief": relief,
    "counterchange": counterchange,
    "ragged": ragged,
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
