"""``sdlora inspect``: what is in a model folder, and whether it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sdlora.cli.console import Console
from sdlora.cli.options import with_console

if TYPE_CHECKING:
    from sdlora.bundle import BundleConfig
    from sdlora.learner import Learner

EXAMPLES = ("sdlora inspect shop", "sdlora inspect shop --classes")

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A folder written by sdlora learn.")]
Classes = Annotated[bool, typer.Option("--classes", help="Also name every class.")]


@with_console
def inspect(console: Console, model: Model, *, classes: Classes = False) -> int:
    """Show what a model has learned, and check that it is whole.

    Lessons, classes, sizes; every file is held against its hash. The accuracy on held-out images is a record of the
    day of the lesson, among the classes known then.
    """
    from sdlora.bundle import read_bundle
    from sdlora.learner import Learner

    config = read_bundle(model).config
    learner = Learner.load(model, device="cpu")
    console.document(document(model, config, learner))
    for line in lines(model, config, learner):
        console.result(line)
    if classes:
        for task in config.tasks:
            console.result(f"lesson {task.task}: {', '.join(task.classes) or 'no new class'}")
    return 0


def document(model: Path, config: BundleConfig, learner: Learner) -> dict[str, Any]:
    """Return what ``--json`` prints: ``config.json``, sizes, what the method says of itself, and that all is whole."""
    from sdlora.learner.summary import advice_on, by_lesson, num_pretrained

    return {
        "model": str(model),
        "version": config.version,
        "is_whole": True,  # what is not ends the command with an error
        "num_seen": len(config.classes),
        "num_tasks": len(config.tasks),
        "backbone_parameters": num_pretrained(learner),
        "learned_bytes": learner.num_bytes,
        "magnitudes": by_lesson(learner, "magnitudes"),
        "ranks": by_lesson(learner, "ranks"),
        "advice": [advice_on(learner, record) for record in learner.history],
        "config": config.model_dump(mode="json"),
    }


def lines(model: Path, config: BundleConfig, learner: Learner) -> list[str]:
    """Return the learner's own summary, and what only the folder knows."""
    from sdlora.learner.summary import heading, lesson_table, warnings

    whole, backbone, learned = heading(learner)
    base = config.backbone.base
    place = "not in this folder" if base is None else f"{base.size / 1e6:.2f} MB in {base.file}"
    return [
        f"{model}   {whole}, format {config.format}; files complete, hashes match",
        f"{backbone}, {place}",
        f"{learned} in {config.weights.file}",
        *lesson_table(learner),
        *warnings(learner),
    ]
