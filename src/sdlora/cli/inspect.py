"""``sdlora inspect``: what is in a model folder, and whether it is whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len

from sdlora.cli.console import Console
from sdlora.cli.options import with_console

if TYPE_CHECKING:
    from sdlora.bundle import BundleConfig
    from sdlora.learner import Learner

EXAMPLES = ("sdlora inspect shop", "sdlora inspect shop --classes")

NAMED = 3  # classes of a lesson that are named in the table
LEFT = ("date", "classes")  # columns of words; the others hold numbers

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A folder written by sdlora learn.")]
Classes = Annotated[bool, typer.Option("--classes", help="Also name every class.")]


@with_console
def inspect(console: Console, model: Model, *, classes: Classes = False) -> int:
    """Show the lessons, classes and sizes of a model, and check that its files are whole.

    The accuracy on held-out images is a record of the day of the lesson, among the classes known then.
    """
    from sdlora.bundle import read_bundle
    from sdlora.learner import Learner

    config = read_bundle(model).config
    learner = Learner.load(model, device="cpu")
    console.document(document(model, config, learner))
    for line in (*heading(model, config, learner), *table(config, learner)):
        console.result(line)
    if classes:
        for task in config.tasks:
            console.result(f"lesson {task.task}: {', '.join(task.classes) or 'no new class'}")
    return 0


def document(model: Path, config: BundleConfig, learner: Learner) -> dict[str, Any]:
    """Return what ``--json`` prints: ``config.json``, sizes, what the method says of itself, and that all is whole."""
    report = learner.method.report()
    return {
        "model": str(model),
        "version": config.version,
        "is_whole": True,  # what is not ends the command with an error
        "num_seen": len(config.classes),
        "num_tasks": len(config.tasks),
        "backbone_parameters": num_pretrained(learner),
        "learned_bytes": learner.num_bytes,
        "magnitudes": report.get("magnitudes"),
        "ranks": report.get("ranks"),
        "config": config.model_dump(mode="json"),
    }


def heading(model: Path, config: BundleConfig, learner: Learner) -> list[str]:
    """Return what the model is, and what it stands on."""
    from sdlora.backbones.vit import SHIPPED
    from sdlora.reports.text import parameters, plural

    num_classes = len(config.classes)
    classes = "1 class" if num_classes == 1 else f"{num_classes} classes"
    rank = config.method.options.get("rank")
    method = config.method.name + (f" rank {rank}" if rank is not None else "")
    source = "comes with sdlora" if config.backbone.name == SHIPPED else "fetched by name"
    size = parameters(num_pretrained(learner))
    return [
        f"{model}   {classes}, {plural(len(config.tasks), 'lesson')}, {method}, format {config.format}, "
        f"version {config.version}; files complete, hashes match",
        f"backbone {config.backbone.name} (sha256 {config.backbone.sha256[:8]}), {size}, {source}, not in this folder",
        f"learned  {learner.num_bytes / 1e6:.2f} MB in {config.weights.file}",
    ]


def table(config: BundleConfig, learner: Learner) -> list[str]:
    """Return a line for each lesson."""
    from sdlora.reports.text import percent

    report = learner.method.report()
    rows = []
    for index, task in enumerate(config.tasks):
        row = {
            "lesson": str(task.task),
            "date": task.date,
            "classes": _names(task.classes),
            "images": f"{task.num_images:,}",
            "held-out then": percent(task.held_out_accuracy) + (" %" if task.held_out_accuracy is not None else ""),
        }
        for column, name, form in (("rank", "ranks", ".3g"), ("magnitude", "magnitudes", ".2f")):
            values = report.get(name)
            if isinstance(values, list) and len(values) == len(config.tasks):
                row[column] = format(values[index], form)
        rows.append(row)
    return _aligned([dict(zip(rows[0], rows[0], strict=True)), *rows])


def num_pretrained(learner: Learner) -> int:
    """Return how many parameters the backbone has without what was put into it."""
    from sdlora.adapters.inject import adapters_of

    model = learner.backbone.model
    added = [
        parameter
        for adapter in adapters_of(model).values()
        for name, parameter in adapter.named_parameters()
        if not name.startswith("base.")
    ]
    return sum(parameter.numel() for parameter in model.parameters()) - sum(parameter.numel() for parameter in added)


def _names(classes: Sequence[str]) -> str:
    from sdlora.datasets.images import printable

    more = f" +{len(classes) - NAMED}" if len(classes) > NAMED else ""
    return printable(", ".join(classes[:NAMED]) + more)


def _aligned(rows: Sequence[dict[str, str]]) -> list[str]:
    widths = {name: max(cell_len(row[name]) for row in rows) for name in rows[0]}
    lines = []
    for row in rows:
        cells = []
        for name, text in row.items():
            space = " " * (widths[name] - cell_len(text))
            cells.append(text + space if name in LEFT else space + text)
        lines.append("  ".join(cells).rstrip())
    return lines
