"""The figure of accuracy matrices: every task after every task."""

from __future__ import annotations

from statistics import fmean

from sdlora.reports.charts import heat_map, scale_bar
from sdlora.reports.comparison import Comparison, Entry
from sdlora.reports.figures import Figure, Looks, Panel

Rows = list[list[float]]


def matrix_figure(comparison: Comparison, looks: Looks) -> Figure | None:
    """Draw the mean accuracy matrix of every entry, in percent, all on one scale."""
    if not comparison.ranked or len(comparison.task_sizes) < 2:
        return None
    means = {entry.label: _mean_matrix(entry) for entry in comparison.ranked}
    values = [value for rows in means.values() for row in rows for value in row]
    low, high = 10.0 * (min(values) // 10), min(100.0, 10.0 * (max(values) // 10) + 10)
    panels = [
        Panel(label, heat_map(rows, low, high, alt=_range(label, rows), axes=("tested on task", "after task")))
        for label, rows in means.items()
    ]
    caption = (
        "Down a column: what becomes of a task while others are learned. Along the diagonal: how well each is learned. "
        "Means over seeds, one scale for all methods."
    )
    header = ("method", "after task", *(f"task {j + 1}" for j in range(len(comparison.task_sizes))))
    data = [
        (label, str(i), *(f"{v:.1f}" for v in row)) for label, rows in means.items() for i, row in enumerate(rows, 1)
    ]
    bar = scale_bar(f"{low:.0f} %", f"{high:.0f} %")
    return Figure(
        "matrices", "Accuracy on every task, after every task.", caption, tuple(panels), header, tuple(data), bar=bar
    )


def _range(label: str, rows: Rows) -> str:
    low, high = min(map(min, rows)), max(map(max, rows))
    return f"Accuracy of {label} on each task after each task: from {low:.0f} to {high:.0f} %."


def _mean_matrix(entry: Entry) -> Rows:
    matrices = entry.matrices
    return [
        [100 * fmean(float(matrix[i, j]) for matrix in matrices) for j in range(i + 1)]
        for i in range(matrices[0].num_rows)
    ]
