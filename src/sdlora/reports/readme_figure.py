"""The one picture that says it all: accuracy after each task, for a README, a slide or a paper."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from sdlora.errors import ConfigError
from sdlora.reports.charts import LIGHT, Series
from sdlora.reports.charts.axes import cut, spread_out
from sdlora.reports.comparison import compare
from sdlora.reports.figures import accuracy_series
from sdlora.reports.page import page_looks
from sdlora.reports.picture import GRID, INK, SOFT, draw_picture
from sdlora.reports.runs import Run
from sdlora.reports.text import MINUS

_MARKERS = {
    "circle": "o", "ring": "o", "square": "s", "triangle": "^", "diamond": "D",
    "down": "v", "plus": "P", "hexagon": "h", "cross": "X",
}  # fmt: skip


def figure_for_readme(runs: Sequence[Run], path: str | Path) -> Path:
    """Draw the runs' accuracy after each task, mean and deviation over seeds, and write it.

    Letters are outlines and the page is white, so that it looks the same everywhere. The same runs give the same bytes.

    Args:
        runs: Finished runs of one stream on one backbone.
        path: Ends in ``.svg`` or ``.png``; the latter has 1600 pixels across.

    Raises:
        ConfigError: If the runs are of several streams or backbones, or the ending is another.
    """
    comparisons = compare(runs)
    if len(comparisons) != 1 or not comparisons[0].entries or len(comparisons[0].task_sizes) < 2:
        raise ConfigError(
            f"{len(comparisons)} comparisons do not fit into one figure",
            expected="finished runs of one stream of several tasks, on one backbone",
        )
    series = accuracy_series(comparisons[0], page_looks(comparisons))
    num_tasks = len(comparisons[0].task_sizes)
    names = {entry.label: entry.name for entry in comparisons[0].entries}
    return draw_picture(
        path, (8.0, 4.2), lambda figure: _draw(figure.add_axes((0.07, 0.14, 0.65, 0.76)), series, names, num_tasks)
    )


def _draw(axes: Axes, series: Sequence[Series], names: Mapping[str, str], num_tasks: int) -> None:
    axes.set_title("accuracy on all classes seen so far, %", loc="left", fontsize=11, color=SOFT, pad=12)
    axes.set_xlabel("after task", loc="right", color=SOFT)
    axes.spines[:].set_visible(False)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.tick_params(length=0, colors=SOFT)
    axes.set_xlim(0.85, num_tasks + 0.15)
    axes.set_xticks([task for task in range(1, num_tasks + 1) if num_tasks <= 12 or task == 1 or task % 5 == 0])
    for depth, one in enumerate(series):
        _draw_series(axes, one, num_tasks, 10 - depth)
    low, high = axes.get_ylim()
    axes.set_ylim(low, min(high, 100.0))
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}".replace("-", MINUS))
    low, high = axes.get_ylim()
    places = spread_out([one.values[-1] for one in series], (high - low) * 0.062, low, high)
    beside = axes.get_yaxis_transform()  # x in widths of the axes, y in percent
    for one, place in zip(series, places, strict=True):
        axes.plot([1.025], [place], transform=beside, clip_on=False, linestyle="", **_marker(one))
        label = f"{cut(names[one.label], 20)} {one.values[-1]:.1f}"
        axes.text(1.045, place, label, transform=beside, va="center_baseline", color=INK, parse_math=False)


def _marker(one: Series) -> dict[str, Any]:
    colour = _colour(one)
    face = "white" if one.look.colour is None else colour
    return {"marker": _MARKERS[one.look.marker], "markersize": 5, "color": colour, "markerfacecolor": face}


def _colour(one: Series) -> str:
    return INK if one.look.colour is None else LIGHT[one.look.colour]


def _draw_series(axes: Axes, one: Series, num_tasks: int, depth: int) -> None:
    colour = _colour(one)
    dash: str | tuple[int, tuple[float, ...]] = "-"
    if one.look.dash:
        dash = (0, tuple(float(part) / 2 for part in one.look.dash.split()))
    if len(one.values) == 1 < num_tasks:
        axes.axhline(one.values[0], color=colour, linestyle=dash, linewidth=1.2, zorder=depth)
        return
    tasks = range(1, len(one.values) + 1)
    if None not in one.spreads:
        lower, upper = zip(*one.edges, strict=True)
        axes.fill_between(tasks, lower, upper, color=colour, alpha=0.14, linewidth=0, zorder=depth)
    axes.plot(tasks, one.values, linestyle=dash, linewidth=2, zorder=depth, **_marker(one))
