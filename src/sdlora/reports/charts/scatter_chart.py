"""Labelled points: accuracy against a cost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sdlora.reports.charts.axes import Scale, cut, horizontal_title, log_ticks, nice_ticks, spread_out, vertical_axis
from sdlora.reports.charts.palette import Look
from sdlora.reports.charts.svg import Drawing


@dataclass(frozen=True)
class Dot:
    """A point.

    Attributes:
        label: Name of the method.
        look: How it is drawn.
        x: Cost.
        y: Mean.
        spread: Standard deviation of `y`, None for one seed.
    """

    label: str
    look: Look
    x: float
    y: float
    spread: float | None


def scatter_chart(
    dots: Sequence[Dot], width: float, *, alt: str, axes: tuple[str, str], text: Callable[[float], str]
) -> Markup:
    """Draw points; the horizontal axis is logarithmic where values differ by more than ten times.

    Args:
        dots: What to draw.
        width: Of the picture, pixels.
        alt: What it shows, in words.
        axes: Titles of the vertical and the horizontal axis.
        text: Writes a tick of the horizontal axis.
    """
    drawing = Drawing(width, 0.3 * width + 155, alt)
    x, ticks = _horizontal(dots, width)
    edges = [dot.y + sign * (dot.spread or 0) for dot in dots for sign in (-1, 1)]
    y = vertical_axis(drawing, edges, x, axes[0])
    for tick in ticks:
        drawing.line((x(tick), y.start), (x(tick), y.start + 4), "axis")
        drawing.text(x(tick), y.start + 19, text(tick), "tick", "middle")
    horizontal_title(drawing, x, axes[1])
    labels = spread_out([y(dot.y) for dot in dots], 15, y.end, y.start)
    for dot, label_y in zip(dots, labels, strict=True):
        _draw(drawing, dot, x, y, label_y)
    return drawing.markup()


def _horizontal(dots: Sequence[Dot], width: float) -> tuple[Scale, list[float]]:
    low, high = min(dot.x for dot in dots), max(dot.x for dot in dots)
    is_log = low > 0 and high / low > 10
    ticks = log_ticks(low, high) if is_log else nice_ticks(min(low, 0.0), high, 4)
    scale = Scale(ticks[0], ticks[-1], 46, width - 22, is_log)
    return scale, ticks[:: 2 if len(ticks) > 6 else 1]


def _draw(drawing: Drawing, dot: Dot, x: Scale, y: Scale, label_y: float) -> None:
    at = x(dot.x), y(dot.y)
    with drawing.group(dot.look.css_class):
        if dot.spread:
            drawing.line((at[0], y(dot.y - dot.spread)), (at[0], y(dot.y + dot.spread)), "whisker")
        drawing.marker(dot.look.marker, at, f"{dot.label}: {dot.y:.1f}", 5)
    if at[0] > 0.6 * drawing.width:
        drawing.text(at[0] - 10, label_y + 4, cut(dot.label, 20), "label", "end")
    else:
        drawing.text(at[0] + 10, label_y + 4, cut(dot.label, 20), "label")
