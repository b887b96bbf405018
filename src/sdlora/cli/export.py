"""``sdlora export``: a taught model in a form that other libraries read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sdlora.cli.console import Console
from sdlora.cli.options import with_console
from sdlora.errors import ConfigError

if TYPE_CHECKING:
    from sdlora.export import ExportReport, Parts

EXAMPLES = ("sdlora export shop --to onnx", "sdlora export shop --to timm --out shop_for_timm")

FORMATS = ("timm", "peft", "onnx")

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A folder written by sdlora learn.")]
To = Annotated[str, typer.Option("--to", metavar="FORMAT", help="timm, peft or onnx.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FOLDER", help="Where it goes; MODEL-FORMAT if absent.", show_default=False),
]


@with_console
def export(console: Console, model: Model, *, to: To, out: Out = None) -> int:
    """Write a model for timm, PEFT or ONNX, and check its answers.

    They must be those of sdlora, or the export is called FOLDER.failed. timm: the merged model. peft: a LoRA adapter
    and the head. onnx: a graph that needs neither PyTorch nor sdlora. For a head on several blocks, timm and peft get a
    Python file next to the weights; a ridge head needs onnx.
    """
    if to not in FORMATS:
        raise ConfigError(f'no format "{to}"', expected=f"one of {', '.join(FORMATS)}")
    named = model if model.name not in ("", "..") else model.resolve()
    report = _write(to, model, out or named.with_name(f"{named.name}-{to}"), console)
    console.document(report.to_dict())
    console.result(report.text())
    return 0


def _write(to: str, model: Path, folder: Path, console: Console) -> ExportReport:
    from sdlora import export
    from sdlora.learner import Learner
    from sdlora.reports.text import duration

    learner = Learner.load(model, device="cpu")
    parts: Parts = export.parts_of(learner, _card(model))
    about = f"The check takes about {duration(export.expected_seconds(parts))}."
    console.note(f"{model}: {len(parts.classes)} classes, {learner.method_name} on {parts.backbone.name}. {about}")
    return {"timm": export.export_timm, "peft": export.export_peft, "onnx": export.export_onnx}[to](parts, folder)


def _card(model: Path) -> str:
    """Return the model's own card; what it lacks, the card of the export lacks too."""
    card = model / "README.md"
    return card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
