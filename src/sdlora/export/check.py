"""Does an export give what sdlora gives, and as fast?"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdlora.export.parts import Parts, plain_backbone
from sdlora.export.report import Check

NUM_IMAGES = 64
BATCH = 16
SECONDS = 5.0  # what timing may take
FEWEST, MOST = 5, 51  # timed passes of each model


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


@torch.inference_mode()
def expected_seconds(parts: Parts) -> float:
    """Return roughly how long the check takes, from the time of one image: it sees all of them twice."""
    image = pictures(parts.backbone.image_size, 1).float() / 255
    parts.method(image)
    start = time.perf_counter()
    parts.method(image)
    taken = time.perf_counter() - start
    return 2 * NUM_IMAGES * taken + min(SECONDS, 2 * MOST * taken)


def latency_ratio(parts: Parts, model: Callable[[Tensor], Tensor]) -> float:
    """Return the median time of `model` for one image in 0..1 over that of the plain backbone, taken in turns."""
    image = pictures(parts.backbone.image_size, 1).float() / 255
    backbone, plain = parts.backbone, plain_backbone(parts)
    head: Callable[[Tensor], Tensor] = nn.Linear(backbone.feature_dim, len(parts.classes))
    runs: tuple[Callable[[], Tensor], ...] = (
        lambda: model(image),
        lambda: head(backbone.family.features(plain, backbone.normalise(image))),
    )
    times: tuple[list[float], list[float]] = ([], [])
    end = time.perf_counter() + SECONDS
    with torch.inference_mode():
        for run in runs:
            run()
        while len(times[0]) < FEWEST or (len(times[0]) < MOST and time.perf_counter() < end):
            for run, taken in zip(runs, times, strict=True):
                start = time.perf_counter()
                run()
                taken.append(time.perf_counter() - start)
    return statistics.median(times[0]) / statistics.median(times[1])
