"""How long an export takes for an image beside the plain backbone."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sdlora.export.check import NUM_IMAGES, pictures
from sdlora.export.parts import Parts, plain_backbone

FEWEST, MOST = 11, 301  # rounds
SECONDS = 5.0  # after which no further round begins, once there are enough
TIGHT = 0.01  # width of the interval that holds the ratio with 95 %, at which no further round is needed


@torch.inference_mode()
def latency_ratio(parts: Parts, model: Callable[[Tensor], Tensor]) -> float:
    """Return the time of `model` for one image in 0..1 over that of the plain backbone with a linear head."""
    image = pictures(parts.backbone.image_size, 1).float() / 255
    backbone, plain = parts.backbone, plain_backbone(parts)
    head: Callable[[Tensor], Tensor] = nn.Linear(backbone.feature_dim, len(parts.classes))
    return paired_ratio(lambda: model(image), lambda: head(backbone.family.features(plain, backbone.normalise(image))))


def paired_ratio(first: Callable[[], Any], second: Callable[[], Any]) -> float:
    """Return the median, over rounds, of the time of one thing over that of the other in the same round.

    A machine that is busy with something else slows down for many rounds: that divides out within a round, but not
    between two medians. Which of the two comes first alternates.
    """
    ratios: list[float] = []
    pair = (first, second)
    for run in pair:  # pays for what is set up once
        run()
    end = time.perf_counter() + SECONDS
    while len(ratios) < FEWEST or (len(ratios) < MOST and time.perf_counter() < end and _width(ratios) > TIGHT):
        order = (0, 1) if len(ratios) % 2 else (1, 0)
        taken = dict(zip(order, [_seconds(pair[which]) for which in order], strict=True))
        ratios.append(taken[0] / taken[1])
    return statistics.median(ratios)


def _seconds(run: Callable[[], Any]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _width(ratios: list[float]) -> float:
    """Return the width of the interval that holds the median with 95 %, from order statistics: n/2 -+ sqrt(n)."""
    ordered, outer = sorted(ratios), max(0, int(len(ratios) / 2 - math.sqrt(len(ratios))))
    return ordered[-1 - outer] - ordered[outer]


@torch.inference_mode()
def expected_seconds(parts: Parts) -> float:
    """Return roughly how long the check takes, from the time of one image: it sees all of them twice."""
    image = pictures(parts.backbone.image_size, 1).float() / 255
    parts.method(image)
    start = time.perf_counter()
    parts.method(image)
    taken = time.perf_counter() - start
    return 2 * NUM_IMAGES * taken + min(SECONDS, 2 * MOST * taken)
