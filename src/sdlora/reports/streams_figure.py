"""Final accuracy of every method on several streams, side by side: what a comparison comes to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from sdlora.errors import ConfigError
from sdlora.metrics import acc
from sdlora.reports.comparison import Comparison, Entry, compare
from sdlora.reports.picture import GRID, INK, SOFT, draw_picture
from sdlora.reports.runs import Run

_OURS = "#0B62B5"
_LEFT, _RIGHT, _TOP, _GAP = 0.22, 0.97, 0.88, 0.04  # of the figure's width and height


def figure_across_streams(runs: Sequence[Run], path: str | Path) -> Path:
    """Draw Acc of every method, mean and deviation over seeds: a row a method, a panel a stream, fewest tasks first.

    Rows are sorted by the mean over the streams that a method has met. SD-LoRA is in colour; joint training, which sees
    everything at once, is a line.

    Args:
        runs: Finished runs, one set of settings a method.
        path: Ends in ``.svg`` or ``.png``; the latter has 1600 pixels across.

    Raises:
        ConfigError: If no run is finished, or the ending is another.
        StorageError: If the file cannot be written.
    """
    panels = sorted((one for one in compare(runs) if one.ranked), key=lambda one: (len(one.task_sizes), one.stream))
    if not panels:
        raise ConfigError("no finished run", expected="finished runs that learn task by task")
    found: dict[str, list[float]] = {}
    for panel in panels:
        for entry in panel.ranked:
            found.setdefault(entry.name, []).append(entry.mean(acc))
    labels = sorted(found, key=lambda label: sum(found[label]) / len(found[label]))  # the best ends on top
    return draw_picture(path, (8.0, 1.0 + 0.3 * len(labels)), lambda figure: _draw(figure, panels, labels))


def _draw(figure: Figure, panels: Sequence[Comparison], labels: Sequence[str]) -> None:
    width = (_RIGHT - _LEFT - _GAP * (len(panels) - 1)) / len(panels)
    bottom = 0.62 / figure.get_figheight()
    lowest = min(entry.mean(acc) for panel in panels for entry in panel.ranked)
    joint = [entry for panel in panels for entry in panel.joint]  # does not depend on the number of tasks
    for index, panel in enumerate(panels):
        axes = figure.add_axes((_LEFT + index * (width + _GAP), bottom, width, _TOP - bottom))
        axes.set_title(f"{len(panel.task_sizes)} tasks", loc="left", fontsize=11, color=SOFT, pad=8)
        axes.spines[:].set_visible(False)
        axes.grid(axis="x", color=GRID, linewidth=0.8)
        axes.tick_params(length=0, colors=SOFT)
        axes.set_xlim(max(0.0, 100 * lowest - 5), 100)
        axes.set_ylim(-0.7, len(labels) - 0.3)
        axes.set_yticks(range(len(labels)), labels if index == 0 else [""] * len(labels), color=INK)
        for entry in panel.ranked:
            _draw_entry(axes, entry, labels.index(entry.name))
        for entry in joint:
            axes.axvline(100 * entry.mean(acc), color=SOFT, linestyle=":", linewidth=1.2)
    note = "Acc, %, mean and deviation over seeds" + ("; dotted: joint training" if joint else "")
    figure.text(_RIGHT, 0.12 / figure.get_figheight(), note, ha="right", color=SOFT)


def _draw_entry(axes: Axes, entry: Entry, place: int) -> None:
    mean, deviation = entry.mean_std(acc)
    assert mean is not None  # every finished run has an accuracy
    colour = _OURS if entry.method == "sdlora" else INK
    spread = 100 * (deviation or 0.0)
    axes.errorbar([100 * mean], [place], xerr=[spread], fmt="o", color=colour, markersize=5, elinewidth=2, zorder=3)
    axes.annotate(
        f"{100 * mean:.1f}", (100 * mean + spread, place), (7, 0), textcoords="offset points",
        va="center_baseline", fontsize=9, color=colour, fontweight="bold" if entry.method == "sdlora" else "normal",
        path_effects=[withStroke(linewidth=4, foreground="white")],  # the number stays whole where a line passes
    )  # fmt: skip
