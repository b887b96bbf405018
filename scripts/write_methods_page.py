"""Write docs/methods.md from what the code says and measures; a test asserts that the page is current.

Run: python scripts/write_methods_page.py     (a CPU takes about half a minute; no weights are fetched)
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from sdlora.cli import inventory
from sdlora.files import write_atomic
from sdlora.methods import METHODS
from sdlora.reports.table5 import CostRow, measure_table5

CHECKED = {
    "coda_prompt": "192 of 192",
    "dualprompt": "117 of 117; their JAX 11 of 11",
    "ease": "8e-16",
    "hide_prompt": "154 of 154",
    "inflora": "4e-11 over 81 layer boundaries",
    "l2p": "110 of 110",
    "ranpac": "1.4e-10, the same lambda 18 of 18 times",
    "sdlora": "`released` 7e-14 over five tasks, RR 6e-15; `paper`, `continuous` against a dense oracle 6e-13",
    "simplecil": "7e-16",
}
"""What differential runs against the authors' code found."""

PAGE = Path(__file__).parents[1] / "docs/methods.md"
TEMPLATE = Path(__file__).with_name("methods_page.md")


def main() -> None:
    write_atomic(PAGE, page(list(measure_table5())).encode())


def page(rows: Sequence[CostRow]) -> str:
    """Return the page with these rows in its table of costs."""
    methods = inventory.methods()
    parts = {
        "properties": _properties(methods),
        "costs": _costs(rows),
        "methods": "\n".join(map(_method, methods)).rstrip(),
    }
    text = TEMPLATE.read_text(encoding="utf-8")
    for name, part in parts.items():
        text = text.replace(f"{{{name}}}", part)
    return text


def _properties(methods: Iterable[dict[str, Any]]) -> str:
    keys = ("rehearsal_free", "one_pass", "end_to_end", "merges")
    heads = (
        "method",
        "trains",
        "rehearsal-free",
        "one pass",
        "end-to-end",
        "merges",
        "checked against the authors' code",
    )
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for row in methods:
        answers = " | ".join("yes" if row[key] else "no" for key in keys)
        checked = CHECKED.get(row["name"], "–")
        lines.append(f"| [{row['name']}](#{row['name']}) | {row['trains']} | {answers} | {checked} |")
    return "\n".join(lines)


def _costs(rows: Iterable[CostRow]) -> str:
    lines = [
        "| | passes | GFLOPs | paper | learnable, M | paper | kept, M | paper |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        found = row.footprint
        ours = (f"{found.flops / 1e9:.2f}", f"{found.learnable / 1e6:.3f}", f"{found.kept / 1e6:.2f}")
        theirs = [f"{number:.2f}" for number in row.paper] if row.paper else [""] * 3
        cells = [cell for pair in zip(ours, theirs, strict=True) for cell in pair]
        lines.append(f"| {row.name} | {found.passes:g} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _method(row: dict[str, Any]) -> str:
    text = inspect.getdoc(METHODS.get(row["name"])) or ""
    story, _, rest = text.partition("\nArgs:\n")
    source = re.search(r"^Source:\n((?:    .*\n?)+)", rest, flags=re.MULTILINE)
    origin = " ".join(line.strip() for line in source[1].splitlines()) if source else f"{row['source']}."
    lines = [f"## {row['name']}", _markdown(story), f"*Source:* {origin}\n"]
    if row["options"]:
        lines += ["| option | default | type | meaning |", "|---|---|---|---|"]
        lines += [_option(option) for option in row["options"]]
        lines.append("")
    return "\n".join(lines)


def _option(option: dict[str, Any]) -> str:
    cells = (f"`{option['name']}`", option["default"] or "absent", option["type"], option["about"].replace("``", "`"))
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"


def _markdown(text: str) -> str:
    """Turn the indented equations of a docstring into blocks of code."""
    out, is_code = [], False
    for line in text.splitlines():
        if line.startswith("    ") and not is_code and (not out or not out[-1]):
            out.append("```text")
            is_code = True
        elif is_code and line and not line.startswith("    "):
            while out and not out[-1]:
                out.pop()
            out += ["```", ""]
            is_code = False
        out.append(line.removeprefix("    ") if is_code else line)
    if is_code:
        while out and not out[-1]:
            out.pop()
        out.append("```")
    return "\n".join(out).rstrip() + "\n"


if __name__ == "__main__":
    main()
