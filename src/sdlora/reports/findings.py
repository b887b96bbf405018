"""What the figures say, in sentences: who is ahead, by how much, and whether that is more than noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sdlora.metrics import acc
from sdlora.reports.comparison import Comparison, Entry
from sdlora.reports.fairness import disagreements
from sdlora.reports.spread import Difference
from sdlora.reports.text import percent, plural, plus_minus, points


@dataclass(frozen=True)
class Answer:
    """The one sentence to take away, and how sure it is."""

    sentence: str
    detail: str


def answer(comparison: Comparison) -> Answer:
    """Say which method ends highest and whether the lead is more than noise."""
    ranked = comparison.ranked
    if not ranked:
        return Answer(*_without_ranking(comparison))
    leader = ranked[0]
    if len(ranked) == 1:
        spread = plus_minus(*leader.mean_std(acc))
        return Answer(f"{leader.label} ends at {spread} %.", _joined([_seeds(leader), _bound(comparison)]))
    second = ranked[1]
    gap = comparison.difference(leader, second)
    if gap is None:
        what = f"{leader.label} has the highest mean, but shares no seed and class order with {second.label}."
        return Answer(what, _bound(comparison))
    return Answer(_lead(leader, second, gap, others=len(ranked) > 2), _joined([evidence(gap), _bound(comparison)]))


def _without_ranking(comparison: Comparison) -> tuple[str, str]:
    if not comparison.joint:
        return "No run has finished yet.", ""
    joint = comparison.joint[0]
    return f"{joint.label}, trained on all tasks at once, ends at {plus_minus(*joint.mean_std(acc))} %.", _seeds(joint)


def _lead(leader: Entry, second: Entry, gap: Difference, *, others: bool) -> str:
    if gap.low is not None and not gap.is_clear:
        return f"No clear difference between {leader.label} and {second.label}: {points(gap.mean)} points."
    if abs(gap.mean) < 0.0005:
        return f"{leader.label} and {second.label} end equal."
    relation = "above" if gap.mean > 0 else "below"
    tail = ", the next best." if others else "."
    level = percent(leader.mean(acc))
    return f"{leader.label} ends at {level} %, {percent(abs(gap.mean))} points {relation} {second.label}{tail}"


def evidence(gap: Difference) -> str:
    """Return the interval and the number of pairs as words."""
    if gap.low is None or gap.high is None:
        return f"{plural(gap.num_pairs, 'paired seed')}: the spread is unknown"
    return f"95 % interval {points(gap.low)} to {points(gap.high)} points, {plural(gap.num_pairs, 'paired seed')}"


def _seeds(entry: Entry) -> str:
    return plural(len(entry.runs), "seed") + (": the spread is unknown" if len(entry.runs) == 1 else "")


def _bound(comparison: Comparison) -> str:
    if not comparison.joint or not comparison.ranked:
        return ""
    joint = comparison.joint[0]
    gap = joint.mean(acc) - comparison.ranked[0].mean(acc)
    relation = "higher" if gap >= 0 else "lower"
    return f"training on all tasks at once ends {percent(abs(gap))} points {relation}"


def _joined(parts: Sequence[str]) -> str:
    text = "; ".join(part for part in parts if part)
    return text[:1].upper() + text[1:] + "." if text else ""


def headline(comparison: Comparison) -> str:
    """Return one line that says how many runs of what are compared."""
    counts = sorted({len(entry.runs) for entry in comparison.entries}) or [0]
    count = plural(counts[0], "seed") if len(counts) == 1 else f"{counts[0]} to {counts[-1]} seeds"
    fair = "comparable" if not disagreements(comparison) else "not all comparable"
    return (
        f"{plural(len(comparison.runs), 'run')}: {plural(len(comparison.entries), 'method')} × {count}, "
        f"stream {comparison.stream} {shape(comparison.task_sizes)}, {fair}"
    )


def shape(task_sizes: Sequence[int]) -> str:
    """Return "10 tasks × 20 classes", or the range of sizes."""
    low, high = min(task_sizes), max(task_sizes)
    sizes = f"{low}" if low == high else f"{low} to {high}"
    return f"{plural(len(task_sizes), 'task')} × {sizes} {'class' if high == 1 else 'classes'}"


def differences(comparison: Comparison) -> list[str]:
    """Return a line for the leader against each other method."""
    leader, *others = comparison.ranked or (None,)
    lines = []
    for other in others:
        gap = comparison.difference(leader, other) if leader else None
        if leader and gap:
            lines.append(f"{leader.label} - {other.label} in Acc: {points(gap.mean)} points, {evidence(gap)}")
    return lines
