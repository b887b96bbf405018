"""``sdlora demo``: SD-LoRA beside sequential LoRA, on this computer, without a download."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdlora.cli.console import Console
from sdlora.cli.options import Device, with_console
from sdlora.cli.report import write_page
from sdlora.cli.train import heading
from sdlora.errors import RunError

if TYPE_CHECKING:
    from sdlora.metrics import AccuracyMatrix

EXAMPLES = ("sdlora demo", "sdlora demo --out runs/first_look --device cpu")

NAMES = {"sdlora": "SD-LoRA", "lora": "sequential LoRA"}

Out = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where runs and report go.")]


@with_console
def demo(console: Console, *, out: Out = Path("runs/demo"), device: Device = None) -> int:
    """Compare SD-LoRA with sequential LoRA in a few minutes.

    Both learn four alphabets one after another, then real handwritten digits. Needs no network. A second call finds
    the finished runs.
    """
    from sdlora import reports
    from sdlora.cli.training import train_seeds
    from sdlora.config.build import build
    from sdlora.config.load import load_recipe
    from sdlora.config.write import toml_value

    console.note(
        "Greek, Cyrillic, Armenian and Georgian letters, then real handwritten digits, one task after another."
    )
    changes = [f"run.device={device}"] if device else []
    matrices: dict[str, AccuracyMatrix] = {}
    for position, method in enumerate(NAMES):
        folder = toml_value(str(out / method))
        experiment = build(load_recipe(f"demo/{method}", [*changes, f"run.output_dir={folder}"]))
        if not matrices:
            console.note(heading(experiment))
        try:
            later = len(NAMES) - position - 1
            outcome = train_seeds(experiment, console, name=method, later_runs=later)[-1]
        except RunError as error:
            raise RunError(error.what, fix=f"sdlora demo --out OTHER_FOLDER, or delete {out}") from error
        if outcome.matrix is None:
            console.note(f"Stopped at {outcome.place} of {method}. The same command continues.")
            return outcome.result.exit_code
        matrices[method] = outcome.matrix
    runs = reports.load_runs([out / method for method in NAMES])
    page = write_page(runs, out / "report.html")
    console.document(reports.summarise(runs))
    for line in table(matrices):
        console.result(line)
    console.result(verdict(matrices))
    console.result(f"Report: {page}")
    console.note("Next: sdlora train glyphs100_10/sdlora")
    return 0


def table(matrices: dict[str, AccuracyMatrix]) -> list[str]:
    """Return the lines of the accuracy table: after each task, and over the whole stream."""
    from sdlora.metrics import aaa, acc, accuracy_after_each_task, forgetting
    from sdlora.reports.text import percent

    num_tasks = next(iter(matrices.values())).num_rows
    lines = [["method", "task 1", *map(str, range(2, num_tasks + 1)), "Acc", "AAA", "forgetting"]]
    for method, matrix in matrices.items():
        values = [*accuracy_after_each_task(matrix), acc(matrix), aaa(matrix), forgetting(matrix)]
        lines.append([method, *map(percent, values)])
    return ["accuracy on all classes seen so far, %", *_aligned(lines)]


def verdict(matrices: dict[str, AccuracyMatrix]) -> str:
    """Say which of the two ends higher, by the figures as they are printed."""
    from sdlora.metrics import acc
    from sdlora.reports.text import percent

    first, second = (acc(matrices[method]) for method in NAMES)
    gap = round(100 * first, 1) - round(100 * second, 1)
    one, other = NAMES.values()
    if abs(gap) < 0.05:
        return f"{one} ends equal to {other} (1 seed: the spread is unknown)."
    relation = "above" if gap > 0 else "below"
    return f"{one} ends {percent(abs(gap) / 100)} points {relation} {other} (1 seed: the spread is unknown)."


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
