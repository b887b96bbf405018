"""The figure of what SD-LoRA learns: magnitudes, how new its directions are, and their ranks."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from sdlora.reports.charts import HALF, NARROW, Series, heat_map, line_chart, scale_bar
from sdlora.reports.comparison import Comparison, Entry
from sdlora.reports.figures import Figure, Looks, Panel
from sdlora.reports.runs import Run
from sdlora.reports.spread import mean_std
from sdlora.reports.text import listed

Rows = list[list[float]]


def inside_figure(comparison: Comparison, looks: Looks) -> Figure | None:
    """Draw magnitudes and residuals after every task, for methods that report magnitudes."""
    found = {entry.label: rows for entry in comparison.ranked if (rows := _over_seeds(entry, "magnitudes"))}
    if not found:
        return None
    entries = [entry for entry in comparison.ranked if entry.label in found]
    high = max(value for rows in found.values() for row in rows for value in row)
    panels = [
        Panel(
            f"Magnitudes, {label}",
            heat_map(rows, 0.0, high, alt=_last(label, rows), axes=("direction", "after task"), decimals=2),
        )
        for label, rows in found.items()
    ]
    caption = "Magnitude: how much a task's direction counts, read again after every task; 0 if it was not kept."
    if series := [one for entry in entries if (one := _residuals(entry, looks))]:
        ends = "; ".join(f"{one.label} {one.values[-1]:.2f}" for one in series)
        axes = ("share of its square norm", "task")
        charts = (
            line_chart(series, width, alt=f"Residuals, last task: {ends}.", axes=axes) for width in (HALF, NARROW)
        )
        panels.append(Panel("What old directions do not explain of a new one", *charts))
    caption += "".join(_ranks(entry) for entry in entries) + " Means over seeds."
    width = max(len(row) for rows in found.values() for row in rows)
    header = ("method", "after task", *(f"direction {k + 1}" for k in range(width)))
    data = [
        (label, str(i), *(f"{v:.3f}" for v in row)) for label, rows in found.items() for i, row in enumerate(rows, 1)
    ]
    bar = scale_bar("0", f"{high:.2f}")
    legend = tuple(found) if len(found) > 1 else ()
    return Figure("inside", _title(found), caption, tuple(panels), header, tuple(data), legend, bar)


def _title(found: Mapping[str, Rows]) -> str:
    leading = [label for label, rows in found.items() if all(row[0] == max(row) for row in rows)]
    if len(leading) == len(found):
        return f"In {listed(leading)} the first direction keeps the largest magnitude."
    return "Magnitude of each direction, after every task."


def _last(label: str, rows: Rows) -> str:
    return f"Magnitudes of {label} after the last task: {', '.join(f'{value:.2f}' for value in rows[-1])}."


def _ranks(entry: Entry) -> str:
    rows = _over_seeds(entry, "ranks")
    return f" Ranks of {entry.label}: {', '.join(f'{rank:.3g}' for rank in rows[-1])}." if rows else ""


def _residuals(entry: Entry, looks: Looks) -> Series | None:
    """Return the residual of each task's direction, mean over projections; the first has none before it: 1."""
    logs = [[fmean(row) for row in _logged(run, "residuals")] for run in entry.runs]
    if not logs[0] or len({len(log) for log in logs}) > 1:
        return None
    stats = [mean_std(values) for values in zip(*logs, strict=True)]
    return Series(entry.label, looks[entry.label], [mean or 0.0 for mean, _ in stats], [std for _, std in stats])


def _over_seeds(entry: Entry, name: str) -> Rows:
    """Return the mean over runs of a list logged after each task; empty unless all runs have lists of one shape."""
    logs = [_logged(run, name) for run in entry.runs]
    if not all(logs) or len({tuple(map(len, log)) for log in logs}) > 1:
        return []
    return [[fmean(values) for values in zip(*rows, strict=True)] for rows in zip(*logs, strict=True)]


def _logged(run: Run, name: str) -> Rows:
    """Return a list logged after each task; empty if it is missing or holds something that is not a number."""
    found = [row.method.get(name) for row in run.tasks]
    rows = [[value for value in values if value is not None] for values in found if isinstance(values, list)]
    return rows if len(rows) == len(found) and all(rows) else []
