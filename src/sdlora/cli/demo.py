"""``sdlora demo``: SD-LoRA, repaired and as published, and sequential LoRA, on this computer, without a download."""

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

NAMES = {
    "sdlora_layers": "SD-LoRA under a discriminant",
    "sdlora": "SD-LoRA as published",
    "lora": "sequential LoRA",
}
"""Recipes of the demo, and what sentences call them; the first is compared with the others."""

Out = Annotated[Path, typer.Option("--out", metavar="FOLDER", help="Where runs and report go.")]


@with_console
def demo(console: Console, *, out: Out = Path("runs/demo"), device: Device = None) -> int:
    """Compare SD-LoRA with sequential LoRA in a few minutes.

    SD-LoRA runs with its head repaired and as published. All learn four alphabets one after another, then real
    handwritten digits. Needs no network. A second call finds the finished runs.
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
    for position, recipe in enumerate(NAMES):
        folder = toml_value(str(out / recipe))
        experiment = build(load_recipe(f"demo/{recipe}", [*changes, f"run.output_dir={folder}"]))
        if not matrices:
            console.note(heading(experiment))
        try:
            later = len(NAMES) - position - 1
            outcome = train_seeds(experiment, console, name=recipe, later_runs=later)[-1]
        except RunError as error:
            raise RunError(error.what, fix=f"sdlora demo --out OTHER_FOLDER, or delete {out}") from error
        if outcome.matrix is None:
            console.note(f"Stopped at {outcome.place} of {recipe}. The same command continues.")
            return outcome.result.exit_code
        matrices[recipe] = outcome.matrix
    runs = reports.load_runs([out / recipe for recipe in NAMES])
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
    lines = [["recipe", "task 1", *map(str, range(2, num_tasks + 1)), "Acc", "AAA", "forgetting"]]
    for recipe, matrix in matrices.items():
        values = [*accuracy_after_each_task(matrix), acc(matrix), aaa(matrix), forgetting(matrix)]
        lines.append([recipe, *map(percent, values)])
    return ["accuracy on all classes seen so far, %", *_aligned(lines)]


def verdict(matrices: dict[str, AccuracyMatrix]) -> str:
    """Say how the first one ends next to the others, by the figures as they are printed."""
    from sdlora.metrics import acc

    first, *others = NAMES
    ends = {recipe: round(100 * acc(matrices[recipe]), 1) for recipe in NAMES}
    gaps = [_gap(ends[first] - ends[other], NAMES[other]) for other in others]
    return f"{NAMES[first]} ends {' and '.join(gaps)} (1 seed: the spread is unknown)."


def _gap(points: float, other: str) -> str:
    if abs(points) < 0.05:
        return f"equal to {other}"
    return f"{abs(points):.1f} points {'above' if points > 0 else 'below'} {other}"


def _aligned(lines: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        "  ".join(
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    ]
