"""``sdlora analyze``: does a run show what the paper found?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdlora.cli.console import Console
from sdlora.cli.options import Device, with_console

EXAMPLES = (
    "sdlora analyze runs/mine/seed0 --against runs/lora/seed0",
    "sdlora analyze runs/mine/seed0 --heads",
)

RunFolder = Annotated[
    Path, typer.Argument(metavar="RUN", help="A finished run, trained with run.keep_task_weights=true.")
]
Against = Annotated[
    Path | None, typer.Option(metavar="RUN2", help="Another on the same stream and seed.", show_default=False)
]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Where figures go; else RUN/analysis.", show_default=False),
]


Heads = Annotated[
    bool, typer.Option("--heads", help="Solve other heads on its features instead, into RUN/heads.json for reports.")
]


@with_console
def analyze(
    console: Console,
    run: RunFolder,
    *,
    against: Against = None,
    heads: Heads = False,
    out: Out = None,
    device: Device = None,
) -> int:
    """Measure the three findings of the paper on a run.

    Writes figures and a page. What each number means and when a run agrees is written in docs/analysis.md.
    """
    if heads:
        return _heads(console, run, device or "auto")
    from sdlora.analysis import analyse, write_analysis
    from sdlora.analysis.pages import check_free

    folder = out or run / "analysis"
    check_free(folder)
    found = analyse(run, against, device=device or "auto")
    write_analysis(found, folder)
    console.document({**found.to_dict(), "folder": str(folder)})
    console.result(f"{found.run.path}: {len(found.run.task_sizes)} tasks; verdict rules are in docs/analysis.md")
    statements = max(len(finding.statement) for finding in found.findings)
    summaries = max(len(finding.summary) for finding in found.findings)
    for finding in found.findings:
        statement, summary = finding.statement.ljust(statements), finding.summary.ljust(summaries)
        console.result(f"  {finding.number} {statement}   {summary}   {finding.verdict}")
    console.result(f"Figures: {folder}/ (index.html, 3 SVG, 3 CSV)")
    return 0


def _heads(console: Console, run: Path, device: str) -> int:
    from sdlora.analysis.heads import compare_heads, write_heads

    found = compare_heads(run, device=device)
    write_heads(found, run)
    console.document({"run": str(run), "acc": {name: found.accuracy(name) for name in found.hits}})
    console.result(f"{run}: Acc by head, on the same features")
    for name in found.hits:
        console.result(f"  {name:<12}  {100 * found.accuracy(name):5.1f} %")
    return 0
