"""Features x heads: what each head makes of the features of each method, and what adapting adds under each head."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from sdlora.metrics import acc
from sdlora.reports.comparison import Comparison, Entry
from sdlora.reports.records import HeadsFile
from sdlora.reports.spread import Difference, mean_std, paired_difference
from sdlora.reports.text import DASH, plus_minus, points, printable

FROZEN = "frozen backbone"
PUBLISHED = "trained, as published"
HEADS = (PUBLISHED, "trained, discriminant start", "discriminant", "RanPAC's")
SOLVED = {"discriminant": "discriminant", "ridge": "RanPAC's"}
"""Heads by their name in recipes and in ``heads.json``."""

OWN = ("head", "head_init", "head_lr_scale", "layers", "adapt_tasks")
"""Options that say nothing of the features, or of features of another kind."""

VARIANTS = ("rank_schedule", "distill_threshold")

BySeed = Mapping[int, float]


@dataclass(frozen=True)
class HeadsTable:
    """Acc by features and head.

    Attributes:
        cells: Acc by seed, for each kind of features and each head of `HEADS` that was measured on it.
        streams: Digest of the stream by seed, for each of these cells.
    """

    cells: dict[str, dict[str, BySeed]]
    streams: dict[tuple[str, str], Mapping[int, str]]

    def mean(self, features: str, head: str) -> str:
        """Return mean and deviation in percent, a dash where nothing was measured."""
        return plus_minus(*mean_std(list(self.cells[features].get(head, {}).values())))

    def gain(self, features: str, head: str) -> str:
        """Return what a head adds to the published one, points with their interval."""
        return _points(self._difference((features, head), (features, PUBLISHED)))

    def adapting(self, features: str, head: str) -> str:
        """Return what adapting adds to the frozen backbone under the same head, points with their interval."""
        return _points(self._difference((features, head), (FROZEN, head)))

    def _difference(self, first: tuple[str, str], second: tuple[str, str]) -> Difference | None:
        """Compare two cells on seeds for which both met the same images in the same order of classes."""
        one, other = (self.cells.get(features, {}).get(head, {}) for features, head in (first, second))
        digests, others = (self.streams.get(cell, {}) for cell in (first, second))
        same = {seed for seed in one.keys() & other.keys() if digests[seed] == others[seed]}
        return paired_difference({seed: one[seed] for seed in same}, other)


def heads_table(comparison: Comparison) -> HeadsTable | None:
    """Return the table of a comparison; None where only one head was measured.

    A solved head counts from runs that predicted with it, else from ``heads.json`` of runs whose linear head had the
    discriminant start, whose features it was solved on.
    """
    cells: dict[str, dict[str, BySeed]] = {}
    streams: dict[tuple[str, str], Mapping[int, str]] = {}
    for entry in comparison.ranked:
        features = _features(entry)
        if features is None:
            continue
        options = entry.runs[0].manifest.method.options
        kind, is_started = options.get("head", "linear"), options.get("head_init") == "discriminant"
        row, digests = cells.setdefault(features, {}), {run.seed: run.manifest.stream.digest for run in entry.runs}
        name = HEADS[int(is_started)] if kind == "linear" else SOLVED[kind]
        row[name], streams[features, name] = entry.by_seed(acc), digests
        if kind == "linear" and is_started:
            found = {run.seed: run.heads for run in entry.runs if run.heads is not None}
            for key, head in SOLVED.items():
                if found and head not in row:
                    row[head] = {seed: _accuracy(file, key) for seed, file in found.items()}
                    streams[features, head] = digests
    rows = {features: row for features, row in cells.items() if len(row) > 1}
    ordered = dict(sorted(rows.items(), key=lambda item: (item[0] != FROZEN, item[0])))
    return HeadsTable(ordered, streams) if rows else None


def render_heads(table: HeadsTable) -> str:
    """Return the table as Markdown: Acc, then what adapting adds."""
    lines = _rows("features", table.cells, table.mean)
    adapted = [features for features in table.cells if features != FROZEN]
    return "\n".join([*lines, "", *_rows("adapting adds, points", adapted, table.adapting)])


def _rows(title: str, rows: Iterable[str], cell: Callable[[str, str], str]) -> list[str]:
    body = (f"| {features} | " + " | ".join(cell(features, head) for head in HEADS) + " |" for features in rows)
    return [f"| {title} | " + " | ".join(HEADS) + " |", "|---|" + "---:|" * len(HEADS), *body]


def _features(entry: Entry) -> str | None:
    """Return what to call the features of an entry; None where a row would not be comparable."""
    options = entry.runs[0].manifest.method.options
    if "head_lr_scale" not in options and "head_init" not in options and entry.method != "inflora":
        return None
    if options.get("layers") or options.get("adapt_tasks") or any(options.get(name) for name in VARIANTS):
        return None
    if entry.method == "probe":
        return FROZEN
    preset = options.get("preset")
    return printable(f"{entry.method}, {preset}" if preset else entry.method)


def _accuracy(file: HeadsFile, head: str) -> float:
    shares = [hits / total for hits, total in zip(file.hits[head], file.totals, strict=True)]
    return sum(shares) / len(shares)


def _points(difference: Difference | None) -> str:
    if difference is None:
        return DASH
    if difference.low is None or difference.high is None:
        return points(difference.mean)
    return f"{points(difference.mean)} [{points(difference.low)}, {points(difference.high)}]"
