"""The table of results as text, Markdown or CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Literal

from sdlora.errors import ConfigError
from sdlora.reports.text import duration, parameters, plus_minus, printable

_COLUMNS = ("method", "seeds", "Acc", "AAA", "forgetting", "time/seed", "trained", "stored")
Row = dict[str, Any]


def render_table(rows: Iterable[Row], format: Literal["terminal", "markdown"] = "terminal") -> str:
    """Return the rows of `summarise` as a table in percent; one table for each stream and backbone.

    Args:
        rows: As `summarise` gives them.
        format: Aligned columns, or Markdown with the best Acc, AAA and forgetting in bold.
    """
    if format not in ("terminal", "markdown"):
        raise ConfigError(f'no table format is called "{format}"', expected="terminal or markdown")
    tables = [list(group) for _, group in groupby(rows, key=_place)]
    bodies = [_terminal(table) if format == "terminal" else _markdown(table) for table in tables]
    if len(tables) < 2:
        return "".join(bodies)
    titles = [f"{table[0]['stream']}, {printable(table[0]['backbone'])}" for table in tables]
    if format == "markdown":
        titles = [f"**{_cell(title)}**\n" for title in titles]
    return "\n\n".join(f"{title}\n{body}" for title, body in zip(titles, bodies, strict=True))


def to_csv(rows: Sequence[Row]) -> str:
    """Return the rows with all their columns; texts that a spreadsheet would run as a formula get a quote in front."""
    if not rows:
        return ""
    out = io.StringIO()
    writer = csv.DictWriter(out, fieldnames=list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: _inert(value) for key, value in row.items()} for row in rows)
    return out.getvalue()


def _place(row: Row) -> tuple[Any, ...]:
    return row["stream"], row["backbone"], row["backbone_sha256"], tuple(row["task_sizes"])


def _texts(row: Row) -> list[str]:
    return [
        row["method"],
        str(row["seeds"]),
        *(plus_minus(row[f"{name}_mean"], row[f"{name}_std"]) for name in ("acc", "aaa", "forgetting")),
        duration(row["seconds_mean"]),
        parameters(row["trained_parameters"]),
        parameters(row["stored_parameters"]),
    ]


def _terminal(rows: Sequence[Row]) -> str:
    lines = [list(_COLUMNS), *(_texts(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _markdown(rows: Sequence[Row]) -> str:
    bold = [best(rows, name) for name in ("acc", "aaa", "forgetting")]
    lines = ["| " + " | ".join(_COLUMNS) + " |", "|" + "---|" + "---:|" * (len(_COLUMNS) - 1)]
    for number, row in enumerate(rows):
        cells = [_cell(text) for text in _texts(row)]
        for column, winners in enumerate(bold, start=2):
            if number in winners:
                cells[column] = f"**{cells[column]}**"
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def best(rows: Sequence[Row], name: str) -> set[int]:
    """Return which rows are best in a metric, or within the standard deviation of the best.

    Joint training is not ranked. Less is better for forgetting.
    """
    sign = -1 if name == "forgetting" else 1
    values = {i: sign * row[f"{name}_mean"] for i, row in enumerate(rows) if _is_ranked(row, name)}
    if len(values) < 2:
        return set()
    top = max(values, key=values.__getitem__)
    slack = rows[top][f"{name}_std"] or 0.0
    return {i for i, value in values.items() if value >= values[top] - slack}


def _is_ranked(row: Row, name: str) -> bool:
    return not row["is_joint"] and row[f"{name}_mean"] is not None


def _cell(text: str) -> str:
    """Escape what Markdown, or HTML inside it, would read as markup."""
    escaped = "".join(f"\\{char}" if char in "\\`*[]|" else char for char in text)
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _inert(value: Any) -> Any:
    text = " ".join(map(str, value)) if isinstance(value, list) else value
    return f"'{text}" if isinstance(text, str) and text[:1] in ("=", "+", "-", "@", "\t") else text
