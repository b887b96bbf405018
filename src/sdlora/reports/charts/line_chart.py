"""Lines over tasks, with bands over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup

from sdlora.reports.charts.axes import HALF, Scale, cut, horizontal_title, spread_out, vertical_axis
from sdlora.reports.charts.palette import Look
from sdlora.reports.charts.svg import Drawing

_LABELS = 190.0  # room for labels at the ends of lines, pixels


@dataclass(frozen=True)
class Series:
    """A line: a value for each task from the first.

    Attributes:
        label: Name of the method.
        look: How it is drawn.
        values: Means; one value alone, in a picture of several tasks, is drawn as a level.
        spreads: Standard deviations, None where there is one seed.
    """

    label: str
    look: Look
    values: Sequence[float]
    spreads: Sequence[float | None]

    @property
    def edges(self) -> list[tuple[float, float]]:
        """Lower and upper edge of the band at each task."""
        return [(value - (s or 0), value + (s or 0)) for value, s in zip(self.values, self.spreads, strict=True)]


def line_chart(
    series: Sequence[Series], width: float, *, alt: str, axes: tuple[str, str], has_end_values: bool = True
) -> Markup:
    """Draw lines over tasks 1, 2, ...

    Args:
        series: What to draw; the first lies on top.
        width: Of the picture, pixels; wide ones have labels at the ends of lines, narrow ones need a legend.
        alt: What it shows, in words.
        axes: Titles of the vertical and the horizontal axis.
        has_end_values: Whether the labels say where a line ends.
    """
    is_wide = width > HALF
    num_steps = max(len(one.values) for one in series)
    drawing = Drawing(width, 440 if is_wide else 300, alt)
    x = Scale(1, max(num_steps, 2), 40, width - (_LABELS if is_wide else 12))
    y = vertical_axis(drawing, [edge for one in series for pair in one.edges for edge in pair], x, axes[0])
    every = 1 if num_steps <= 12 else 5
    for step in (step for step in range(1, num_steps + 1) if step == 1 or step % every == 0):
        drawing.text(x(step), y.start + 19, str(step), "tick", "middle")
    horizontal_title(drawing, x, axes[1])
    for one in reversed(series):
        with drawing.group(one.look.css_class):
            _draw(drawing, one, x, y, num_steps, axes[1])
    if is_wide:
        ends = [f" {one.values[-1]:.1f}" if has_end_values else "" for one in series]
        _label_ends(drawing, series, ends, x, y)
    return drawing.markup()


def _draw(drawing: Drawing, one: Series, x: Scale, y: Scale, num_steps: int, axis: str) -> None:
    if len(one.values) == 1 < num_steps:
        level = y(one.values[0])
        drawing.line((x.start, level), (x.end, level), "line", one.look.dash)
        drawing.marker(one.look.marker, (x.end, level), f"{one.label}: {one.values[0]:.1f}")
        return
    if None not in one.spreads:
        low = [(x(step), y(edge)) for step, (edge, _) in enumerate(one.edges, 1)]
        high = [(x(step), y(min(edge, y.high))) for step, (_, edge) in enumerate(one.edges, 1)]
        drawing.path(low + high[::-1], "band")
    drawing.path([(x(step), y(value)) for step, value in enumerate(one.values, 1)], "line", one.look.dash)
    for step, (value, spread) in enumerate(zip(one.values, one.spreads, strict=True), 1):
        tip = f"{one.label}, {axis} {step}: {value:.1f}" + ("" if spread is None else f" ± {spread:.1f}")
        drawing.marker(one.look.marker, (x(step), y(value)), tip)


def _label_ends(drawing: Drawing, series: Sequence[Series], ends: Sequence[str], x: Scale, y: Scale) -> None:
    places = spread_out([y(one.values[-1]) for one in series], 18, y.end, y.start)
    for one, end, place in zip(series, ends, places, strict=True):
        drawing.line((x.end + 7, y(one.values[-1])), (x.end + 17, place), "leader")
        with drawing.group(one.look.css_class):
            drawing.marker(one.look.marker, (x.end + 25, place))
        drawing.text(x.end + 34, place + 4, cut(one.label, 15) + end, "label")
