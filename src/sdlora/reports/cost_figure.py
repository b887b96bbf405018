"""The figure that sets accuracy against what it costs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sdlora.metrics import acc
from sdlora.reports.charts import HALF, NARROW, Dot, scatter_chart
from sdlora.reports.comparison import Comparison, Entry
from sdlora.reports.figures import Figure, Looks, Panel
from sdlora.reports.spread import mean_std
from sdlora.reports.text import duration, parameters, plus_minus, short_count, size, times


@dataclass(frozen=True)
class _Cost:
    """A horizontal axis.

    Attributes:
        axis: What it shows.
        of: Its value for an entry, None if not known.
        text: Writes a value.
        tick: Writes a tick.
    """

    axis: str
    of: Callable[[Entry], float | None]
    text: Callable[[float | None], str]
    tick: Callable[[float], str]


_STORED = _Cost("parameters stored", lambda entry: entry.last_logged("stored_parameters"), parameters, short_count)
_TRAINED = _Cost("parameters trained", lambda entry: entry.last_logged("trained_parameters"), parameters, short_count)
_MINUTES = _Cost(
    "training time of a run, minutes",
    lambda entry: seconds / 60 if (seconds := mean_std(entry.seconds)[0]) is not None else None,
    lambda minutes: duration(None if minutes is None else 60 * minutes),
    lambda minutes: f"{minutes:g}",
)
_TEST = _Cost(
    "operations at test, times the plain backbone",
    lambda entry: None if (cost := entry.cost) is None else cost.flops / cost.plain_flops,
    times,
    lambda ratio: f"{ratio:g}",
)
_TEST_TIME = _Cost("time of a prediction", lambda entry: entry.time_ratio, times, lambda ratio: f"{ratio:g}")
_KEPT = _Cost(
    "kept of old data",
    lambda entry: None if (cost := entry.cost) is None else sum(cost.kept_bytes.values()),
    size,
    size,
)


def cost_figure(comparison: Comparison, looks: Looks) -> Figure | None:
    """Draw accuracy against stored parameters, training time, and the operations of a prediction."""
    if len(comparison.entries) < 2:
        return None
    panels = [panel for cost in (_STORED, _MINUTES, _TEST) if (panel := _panel(comparison, looks, cost))]
    if not panels:
        return None
    costs = (_STORED, _TRAINED, _MINUTES, _TEST, _TEST_TIME, _KEPT)
    header = ("method", "Acc, %", "stored", "trained", "time", "operations at test", "time at test", "kept of old data")
    rows = [
        (entry.label, plus_minus(*entry.mean_std(acc)), *(cost.text(cost.of(entry)) for cost in costs))
        for entry in comparison.entries
    ]
    caption = (
        "Up and to the left is better. Stored: what a finished run adds to the backbone, its head included. "
        "Whiskers: one standard deviation over seeds."
    )
    if any(entry.cost for entry in comparison.entries):
        caption += (
            " A prediction is measured beside the same backbone with nothing but a linear head; adapters are merged."
        )
    return Figure("cost", "What the accuracy costs.", caption, tuple(panels), header, tuple(rows))


def _panel(comparison: Comparison, looks: Looks, cost: _Cost) -> Panel | None:
    known = [(entry, value) for entry in comparison.entries if (value := cost.of(entry)) is not None]
    if not known:
        return None
    dots = [_dot(entry, looks, value) for entry, value in known]
    alt = "; ".join(f"{dot.label} {dot.y:.1f} % at {cost.text(dot.x)}" for dot in dots)
    charts = [
        scatter_chart(dots, width, alt=f"Acc against {cost.axis}: {alt}.", axes=("Acc, %", cost.axis), text=cost.tick)
        for width in (HALF, NARROW)
    ]
    return Panel("", *charts)


def _dot(entry: Entry, looks: Looks, cost: float) -> Dot:
    mean, std = entry.mean_std(acc)
    return Dot(entry.label, looks[entry.label], cost, 100 * (mean or 0.0), None if std is None else 100 * std)
