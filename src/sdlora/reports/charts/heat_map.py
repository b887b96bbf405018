"""A triangle of cells, deeper where the value is higher."""

from __future__ import annotations

from collections.abc import Sequence

from markupsafe import Markup

from sdlora.reports.charts.svg import Drawing

_LEFT, _TOP, _SIDE = 34.0, 38.0, 296.0  # margins and the side of the triangle, pixels
_FAINT = 0.07  # opacity of the lowest value
_DEEP = 0.66  # share of the range from which on numbers are written in the page's colour
_MOST_NUMBERS = 10  # columns


def heat_map(
    rows: Sequence[Sequence[float]], low: float, high: float, *, alt: str, axes: tuple[str, str], decimals: int = 0
) -> Markup:
    """Draw rows of growing length, with numbers where there are at most ten.

    Args:
        rows: Row i holds i + 1 values.
        low: Value of the palest cell.
        high: Value of the deepest cell.
        alt: What it shows, in words.
        axes: What a column and what a row is.
        decimals: Of the numbers in cells.
    """
    cell = max(12.0, min(46.0, _SIDE / len(rows)))
    width = max(_LEFT + cell * len(rows), 200.0)
    drawing = Drawing(width, _TOP + cell * len(rows), alt)
    drawing.text(0, 12, f"{axes[1]} ↓", "axis-title")
    drawing.text(width - 2, 12, f"{axes[0]} →", "axis-title", "end")
    for i, row in enumerate(rows):
        if len(rows) <= 12 or i == 0 or i % 5 == 4:
            drawing.text(_LEFT - 7, _TOP + cell * (i + 0.5) + 4, str(i + 1), "tick", "end")
            drawing.text(_LEFT + cell * (i + 0.5), _TOP - 7, str(i + 1), "tick", "middle")
        for j, value in enumerate(row):
            share = min(1.0, max(0.0, (value - low) / (high - low))) if high > low else 1.0
            tip = f"{axes[1]} {i + 1}, {axes[0]} {j + 1}: {value:.{max(decimals, 1)}f}"
            place = (_LEFT + cell * j, _TOP + cell * i)
            _cell(drawing, place, cell - 1.5, share, tip)
            if len(rows) <= _MOST_NUMBERS:
                css = "value deep" if share > _DEEP else "value"
                middle = (place[0] + cell / 2 - 0.75, place[1] + cell / 2 + 3)
                drawing.text(*middle, f"{value:.{decimals}f}", css, "middle")
    return drawing.markup()


def scale_bar(low: str, high: str) -> Markup:
    """Draw the colours of a heat map from `low` to `high`."""
    start = 7.5 * len(low) + 6
    drawing = Drawing(start + 160, 14, f"colours from {low} to {high}")
    drawing.text(0, 11, low, "tick")
    for step in range(12):
        drawing.add("rect", "cell", x=start + 9 * step, y=1, width=9, height=12, fill_opacity=_opacity(step / 11))
    drawing.text(start + 114, 11, high, "tick")
    return drawing.markup()


def _cell(drawing: Drawing, place: tuple[float, float], size: float, share: float, tip: str) -> None:
    drawing.add("rect", "cell", tip, x=place[0], y=place[1], width=size, height=size, fill_opacity=_opacity(share))


def _opacity(share: float) -> str:
    return f"{_FAINT + (1 - _FAINT) * share:.2f}"
