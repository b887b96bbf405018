"""Scales, round ticks, and room for labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from sdlora.reports.charts.svg import Drawing
from sdlora.reports.text import MINUS

WIDE, HALF, NARROW = 1040.0, 506.0, 350.0  # pixels: the whole page, half of it, a phone
TOP, BOTTOM = 30.0, 46.0  # margins of a chart


@dataclass(frozen=True)
class Scale:
    """Values to pixels, linear or logarithmic.

    Attributes:
        low: Value that lies at `start`.
        high: Value that lies at `end`.
        start: Pixel.
        end: Pixel.
        is_log: Whether equal ratios are equally far apart.
    """

    low: float
    high: float
    start: float
    end: float
    is_log: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.is_log:
            low, high, value = math.log(low), math.log(high), math.log(value)
        return self.start + (value - low) / (high - low) * (self.end - self.start)


def nice_ticks(low: float, high: float, count: int) -> list[float]:
    """Return about `count` round numbers that enclose low and high, 1, 2, 2.5 or 5 times a power of ten apart."""
    if high <= low:
        margin = max(abs(low) * 0.1, 0.5)
        low, high = low - margin, high + margin
    rough = (high - low) / count
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 2.5, 5, 10) if power * factor >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Return 1, 2 and 5 times powers of ten that enclose low and high; powers alone over wide ranges."""
    factors = (1, 2, 5) if high / low < 300 else (1,)
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    ticks = [factor * 10.0**power for power in powers for factor in factors]
    first = max(tick for tick in ticks if tick <= low * 1.0001)
    last = min(tick for tick in ticks if tick >= high * 0.9999)
    return [tick for tick in ticks if first <= tick <= last]


def spread_out(wanted: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Move positions as little as needed, by least squares, for neighbours to be `gap` apart.

    All stay between low and high if there is room, else they begin at low.
    """
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    pools: list[list[float]] = []  # neighbours that touch share one offset, the mean of what they want
    for rank, i in enumerate(order):
        pools.append([wanted[i] - rank * gap])
        while len(pools) > 1 and fmean(pools[-2]) > fmean(pools[-1]):
            newest = pools.pop()
            pools[-1] += newest
    last = max(low, high - gap * (len(wanted) - 1))
    offsets = [min(max(fmean(pool), low), last) for pool in pools for _ in pool]
    placed = {i: offset + rank * gap for rank, (i, offset) in enumerate(zip(order, offsets, strict=True))}
    return [placed[i] for i in range(len(wanted))]


def vertical_axis(drawing: Drawing, values: Sequence[float], x: Scale, title: str) -> Scale:
    """Draw round ticks with a grid around `values`, which are percentages or shares, and return the scale."""
    ticks = [tick for tick in nice_ticks(min(values), min(max(values), 100.0), 5) if tick <= 100]
    y = Scale(ticks[0], ticks[-1], drawing.height - BOTTOM, TOP)
    drawing.text(0, 13, title, "axis-title")
    for tick in ticks:
        drawing.line((x.start - 6, y(tick)), (x.end + 4, y(tick)), "axis" if tick == 0 else "grid")
        drawing.text(x.start - 11, y(tick) + 4, f"{tick:g}".replace("-", MINUS), "tick", "end")
    return y


def horizontal_title(drawing: Drawing, x: Scale, title: str) -> None:
    """Write what the horizontal axis shows."""
    drawing.text(x.end, drawing.height - 6, title, "axis-title", "end")


def cut(label: str, length: int) -> str:
    """Shorten a label that is too long for its place."""
    return label if len(label) <= length else label[: length - 1] + "…"
