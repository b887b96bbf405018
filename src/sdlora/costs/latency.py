"""How long predictions take, two things side by side."""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor

Predict = Callable[[Tensor], Tensor]
FEWEST, MOST, LONGEST = 3, 15, 5.0
"""Rounds: at least, at most, and seconds after which no further one begins."""


@torch.no_grad()
def side_by_side(first: Predict, second: Predict, images: Tensor) -> tuple[float, float]:
    """Return the time of each on the same images, seconds an image.

    They take turns in one process, after a round that does not count. The second is its median over the rounds; the
    first is that times the median of the ratios within a round, so that what else the machine does meets both alike.
    """
    times: tuple[list[float], list[float]] = ([], [])
    while len(times[1]) <= FEWEST or (len(times[1]) <= MOST and sum(map(sum, times)) * len(images) < LONGEST):
        for predict, taken in zip((first, second), times, strict=True):
            start = _now(images.device)
            predict(images)
            taken.append((_now(images.device) - start) / len(images))
    ratios = [a / b for a, b in zip(times[0][1:], times[1][1:], strict=True)]
    beside = median(times[1][1:])
    return median(ratios) * beside, beside


def _now(device: torch.device) -> float:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter()
