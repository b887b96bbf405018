"""A figure is pictures, words and a table; here those with lines over tasks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from markupsafe import Markup

from sdlora.metrics import AccuracyMatrix, accuracy_after_each_task, forgetting_by_task
from sdlora.reports.charts import NARROW, WIDE, Look, Series, line_chart
from sdlora.reports.comparison import Comparison, Entry
from sdlora.reports.spread import mean_std

Looks = Mapping[str, Look]
Curve = Callable[[AccuracyMatrix], tuple[float, ...]]


@dataclass(frozen=True)
class Panel:
    """One picture of a figure, for wide and for narrow screens where they differ."""

    title: str
    wide: Markup
    narrow: Markup | None = None


@dataclass(frozen=True)
class Figure:
    """Pictures with all that a reader needs beside them.

    Attributes:
        anchor: Name for links.
        title: What is seen, as a sentence.
        caption: How to read it.
        panels: The pictures.
        header: Column names of the data.
        rows: The data as text.
        legend: Methods whose looks a narrow screen needs beside it.
        bar: Colours of a heat map.
    """

    anchor: str
    title: str
    caption: str
    panels: tuple[Panel, ...]
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    legend: tuple[str, ...] = ()
    bar: Markup | None = None


def accuracy_figure(comparison: Comparison, looks: Looks) -> Figure | None:
    """Draw the mean accuracy over groups after each task, joint training as a level."""
    if not comparison.entries or len(comparison.task_sizes) < 2:
        return None
    caption = (
        "Mean accuracy over the tasks seen so far, with all their classes as candidates. "
        "Lines are means over seeds, bands one standard deviation."
    )
    if comparison.joint:
        caption += " The dashed level was trained on all tasks at once."
    return _line_figure(
        "accuracy",
        _title_of_accuracy(comparison),
        caption,
        accuracy_series(comparison, looks),
        ("accuracy on the classes seen, %", "after task"),
    )


def accuracy_series(comparison: Comparison, looks: Looks) -> list[Series]:
    """Return the accuracy of every entry after each task, in percent."""
    return [_series(entry, looks, accuracy_after_each_task) for entry in comparison.entries]


def forgetting_figure(comparison: Comparison, looks: Looks) -> Figure | None:
    """Draw how far the accuracy on each old task fell from its best."""
    if not comparison.ranked or len(comparison.task_sizes) < 2:
        return None
    series = [_series(entry, looks, forgetting_by_task) for entry in comparison.ranked]
    means = {one.label: fmean(one.values) for one in series}
    most, least = max(means, key=means.__getitem__), min(means, key=means.__getitem__)
    title = f"{most} forgets {means[most]:.1f} points on average."
    if most != least:
        title = f"{most} forgets most, {means[most]:.1f} points on average; {least} least, {means[least]:.1f}."
    return _line_figure(
        "forgetting",
        title,
        "For each old task, its best accuracy before the end minus that at the end. Below zero: later tasks helped it.",
        series,
        ("points lost since the best", "old task"),
    )


def _title_of_accuracy(comparison: Comparison) -> str:
    """Say from which task on the leader is ahead of everyone, unless the end may be chance."""
    if len(comparison.ranked) < 2:
        return "Accuracy after each task."
    gap = comparison.difference(comparison.ranked[0], comparison.ranked[1])
    if gap is not None and gap.low is not None and not gap.is_clear:
        return "No method ends clearly ahead."
    leader, *others = (_means(entry, accuracy_after_each_task) for entry in comparison.ranked)
    behind = [i for i, values in enumerate(zip(*others, strict=True)) if max(values) >= leader[i]]
    since = max(behind, default=-1) + 1
    name = comparison.ranked[0].label
    if since == 0:
        return f"{name} is ahead after every task."
    return f"{name} is ahead from task {since + 1} on." if since < len(leader) - 1 else f"{name} ends ahead."


def _line_figure(anchor: str, title: str, caption: str, series: Sequence[Series], axes: tuple[str, str]) -> Figure:
    ends = "; ".join(map(_in_words, series))
    num_steps = max(len(one.values) for one in series)
    is_course = anchor == "accuracy"
    wide, narrow = (
        line_chart(series, width, alt=f"{title} {ends}.", axes=axes, has_end_values=is_course)
        for width in (WIDE, NARROW)
    )
    header = ("method", *(f"{axes[1]} {i + 1}" for i in range(num_steps)))
    legend = tuple(one.label for one in series)
    rows = tuple((one.label, *map(_with_spread, one.values, one.spreads)) for one in series)
    return Figure(anchor, title, caption, (Panel("", wide, narrow),), header, rows, legend)


def _in_words(one: Series) -> str:
    first, last = f"{one.values[0]:.1f}", f"{one.values[-1]:.1f}"
    return f"{one.label} from {first} to {last}" if len(one.values) > 1 else f"{one.label} {last}"


def _with_spread(value: float, spread: float | None) -> str:
    return f"{value:.1f}" if spread is None else f"{value:.1f} ± {spread:.1f}"


def _series(entry: Entry, looks: Looks, curve: Curve) -> Series:
    """Average a curve over seeds, in percent."""
    stats = [mean_std(values) for values in _by_step(entry, curve)]
    return Series(entry.label, looks[entry.label], [mean or 0.0 for mean, _ in stats], [std for _, std in stats])


def _means(entry: Entry, curve: Curve) -> list[float]:
    return [fmean(values) for values in _by_step(entry, curve)]


def _by_step(entry: Entry, curve: Curve) -> list[list[float]]:
    """Return the values of all seeds at each step, in percent."""
    return [[100 * value for value in values] for values in zip(*map(curve, entry.matrices), strict=True)]
