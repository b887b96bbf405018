"""The report as one HTML file that needs nothing else: no network, no script, no font."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from markupsafe import Markup

from sdlora.files import write_atomic
from sdlora.metrics import aaa, acc, forgetting
from sdlora.reports import text
from sdlora.reports.charts import Look, looks, swatch
from sdlora.reports.classes import ClassFindings, class_findings, title_of_classes
from sdlora.reports.comparison import Comparison, Entry, compare
from sdlora.reports.cost_figure import cost_figure
from sdlora.reports.environment import asset, page_environment, page_style
from sdlora.reports.fairness import short_hash, warnings
from sdlora.reports.figures import Figure, accuracy_figure, forgetting_figure
from sdlora.reports.findings import Answer, answer, shape
from sdlora.reports.heads_table import HEADS, HeadsTable, heads_table
from sdlora.reports.inside_figure import inside_figure
from sdlora.reports.matrix_figure import matrix_figure
from sdlora.reports.paper import BesidePaper, beside_paper
from sdlora.reports.runs import Run, last_day
from sdlora.reports.summary import row
from sdlora.reports.table import best, to_csv

_FIGURES = (accuracy_figure, matrix_figure, forgetting_figure, cost_figure, inside_figure)  # in order of the page


@dataclass(frozen=True)
class Line:
    """A line of the table of results.

    Attributes:
        entry: Whose.
        values: Row of `summarise`.
        bold: Metrics in which it is best, or within the best one's deviation.
        behind: Difference to the leader with its interval, as words.
    """

    entry: Entry
    values: dict[str, Any]
    bold: frozenset[str]
    behind: str


@dataclass(frozen=True)
class Section:
    """Everything the page says about one comparison."""

    comparison: Comparison
    answer: Answer
    facts: dict[str, str]
    lines: tuple[Line, ...]
    csv: str
    figures: tuple[Figure, ...]
    classes: dict[str, ClassFindings]
    paper: BesidePaper
    heads: HeadsTable | None


def write_page(runs: Sequence[Run], path: str | Path) -> Path:
    """Write the report of some runs to `path` and return it. The same runs give the same bytes."""
    target = Path(path)
    write_atomic(target, render_page(runs).encode("utf-8"))
    return target


def render_page(runs: Sequence[Run]) -> str:
    """Return the report as HTML."""
    comparisons = compare(runs)
    look = page_looks(comparisons)
    script = asset("page.js")
    environment = page_environment()
    environment.filters |= {"percent": text.percent, "plus_minus": text.plus_minus, "points": text.points}
    environment.filters |= {
        "tied": _tied,
        "parameters": text.parameters,
        "duration": text.duration,
        "size": text.size,
        "times": text.times,
        "title_of_classes": title_of_classes,
        "printable": _printable_lines,
    }
    return environment.get_template("page.html").render(
        sections=[_section(comparison, look) for comparison in comparisons],
        warnings=warnings(comparisons),
        looks=look,
        heads=HEADS,
        metrics={"acc": acc, "aaa": aaa, "forgetting": forgetting},
        swatch=swatch,
        style=page_style(),
        script=Markup(script),
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
    )


def page_looks(comparisons: Sequence[Comparison]) -> dict[str, Look]:
    """Give every method one look in all comparisons; SD-LoRA first, then by the best rank anywhere."""
    ranks: dict[str, int] = {}
    for comparison in comparisons:
        for rank, entry in enumerate(comparison.ranked):
            ranks[entry.label] = min(rank, ranks.get(entry.label, rank))
    labels = sorted(ranks, key=lambda label: (not label.startswith("sdlora"), ranks[label], label))
    return looks(labels, (entry.label for comparison in comparisons for entry in comparison.joint))


def _section(comparison: Comparison, look: dict[str, Look]) -> Section:
    rows = [row(comparison, entry) for entry in comparison.entries]
    winners = {name: best(rows, name) for name in ("acc", "aaa", "forgetting")}
    lines = [
        Line(
            entry,
            values,
            frozenset(name for name, indices in winners.items() if i in indices),
            _behind(comparison, entry),
        )
        for i, (entry, values) in enumerate(zip(comparison.entries, rows, strict=True))
    ]
    return Section(
        comparison,
        answer(comparison),
        _facts(comparison),
        tuple(lines),
        "data:text/csv;charset=utf-8," + quote(to_csv(rows)),
        tuple(figure for make in _FIGURES if (figure := make(comparison, look))),
        {entry.label: found for entry in comparison.entries if (found := class_findings(entry))},
        beside_paper(comparison),
        heads_table(comparison),
    )


def _behind(comparison: Comparison, entry: Entry) -> str:
    leader = comparison.ranked[0] if comparison.ranked else entry
    gap = None if entry is leader else comparison.difference(entry, leader)
    if gap is None:
        return text.DASH
    if gap.low is None or gap.high is None:
        return text.points(gap.mean)
    return f"{text.points(gap.mean)} [{text.points(gap.low)},\N{NO-BREAK SPACE}{text.points(gap.high)}]"


def _facts(comparison: Comparison) -> dict[str, str]:
    runs = comparison.runs
    seeds = sorted({run.seed for run in runs})
    devices = sorted({run.manifest.device or "unknown device" for run in runs})
    versions = sorted({run.manifest.sdlora or "unknown" for run in runs})
    facts = {
        "stream": f"{comparison.stream}, {shape(comparison.task_sizes)}",
        "seeds": ", ".join(map(str, seeds)) or text.DASH,
        "backbone": f"{comparison.backbone.name} · {short_hash(comparison.backbone.sha256)}",
        "device": ", ".join(devices) or text.DASH,
        "last run": last_day(runs) or "unknown",
        "sdlora": ", ".join(versions) or text.DASH,
    }
    return {name: text.printable(value) for name, value in facts.items()}


def _tied(sentence: str) -> str:
    """Keep a number and its percent sign on one line."""
    return sentence.replace(" %", "\N{NO-BREAK SPACE}%")


def _printable_lines(content: object) -> str:
    return "\n".join(text.printable(line) for line in str(content).split("\n"))
