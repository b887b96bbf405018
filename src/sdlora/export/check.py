"""Does an export give what sdlora gives?"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from sdlora.export.parts import Parts
from sdlora.export.report import Check

NUM_IMAGES = 64
BATCH = 16


def pictures(side: int, count: int = NUM_IMAGES) -> Tensor:
    """Return uint8 images (N, 3, side, side), the same at every call: coloured clouds of four sizes under noise."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(count, 3, side, side, generator=generator)
    clouds = [
        F.interpolate(torch.rand(count, 3, cells, cells, generator=generator), size=(side, side), mode="bilinear")
        for cells in (2, 3, 5, 8)
    ]
    group = torch.arange(count) % len(clouds)
    cloud = torch.stack(clouds)[group, torch.arange(count)]
    return (255 * (0.8 * cloud + 0.2 * noise)).round().byte()


@torch.inference_mode()
def in_batches(function: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return what a function of images (N, 3, H, W) in 0..1 gives for uint8 images, some at a time."""
    return torch.cat([function(batch.float() / 255) for batch in torch.split(images, BATCH)])


def logits_check(parts: Parts, model: Callable[[Tensor], Tensor], *, against: str, limit: float) -> Check:
    """Compare a model of normalised images with the method, by logits.

    Args:
        parts: What was exported.
        model: What the export became when it was loaded again.
        against: What it was loaded with.
        limit: Largest difference that passes, as a fraction of the largest logit.
    """
    images = pictures(parts.backbone.image_size)
    expected = in_batches(parts.method, images)
    found = in_batches(lambda batch: model(parts.backbone.normalise(batch)), images)
    return compare(expected, found, against=against, quantity="logits", limit=limit)


def compare(expected: Tensor, found: Tensor, *, against: str, quantity: str, limit: float) -> Check:
    """Compare two results (N, K); a value that is not finite is no agreement."""
    expected, found = expected.double(), found.double()
    scale = expected.abs().max().clamp(min=1)
    difference = (expected - found).abs().max() / scale
    chosen = expected.gather(1, found.argmax(dim=1, keepdim=True))[:, 0]
    same = chosen >= expected.amax(dim=1) - 2 * limit * scale  # of classes this close either may be the first
    return Check(
        against=against,
        quantity=quantity,
        num_images=len(expected),
        num_same=int(same.sum()),
        difference=float(difference) if math.isfinite(difference) else math.inf,
        limit=limit,
    )
