"""``sdlora learn``: create a model, or teach it new classes."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sdlora.cli.console import Console
from sdlora.cli.corrections import check_alone, rename_classes, undo_lesson
from sdlora.cli.options import INTERRUPTED, Device, with_console
from sdlora.errors import CheckError, ConfigError

if TYPE_CHECKING:
    from sdlora.bundle import TaskRecord
    from sdlora.learner import Learner

EXAMPLES = ("sdlora learn shop photos/spring", "sdlora learn shop photos/summer --retest photos/spring_test")

UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="The model folder; created by the first lesson.")]
Data = Annotated[
    Path | None,
    typer.Argument(metavar="[DATA]", help="A folder of class folders, or a CSV of path,label.", show_default=False),
]
Backbone = Annotated[
    str | None, typer.Option(metavar="NAME", help="Of a new model: see sdlora list backbones.", show_default=False)
]
MethodName = Annotated[
    str | None, typer.Option("--method", metavar="NAME", help="Of a new model: see sdlora list methods.")
]
Layers = Annotated[
    str | None,
    typer.Option(
        metavar="WHICH",
        help="Of a new model: all (blocks of the backbone), last (an ordinary linear layer on top of it), or a number.",
        show_default=False,
    ),
]
Retest = Annotated[
    list[Path] | None,
    typer.Option(metavar="FOLDER", help="Images of earlier classes, measured before and after.", show_default=False),
]
MaxDrop = Annotated[
    float | None,
    typer.Option(metavar="SHARE", help="Save nothing if a retest falls by more, such as 0.02.", show_default=False),
]
Epochs = Annotated[
    int | None, typer.Option(metavar="N", help="Passes over the images; else by their number.", show_default=False)
]
TimeLimit = Annotated[
    str | None, typer.Option(metavar="TIME", help="For everything: 90s, 10m or 1h.", show_default=False)
]
Out = Annotated[
    Path | None, typer.Option(metavar="NEW", help="Save here and leave MODEL as it is.", show_default=False)
]
New = Annotated[bool, typer.Option("--new", help="Begin a new model, though a similar name exists.")]
SkipKnown = Annotated[bool, typer.Option("--skip-known", help="Leave out classes that the model knows.")]
Update = Annotated[bool, typer.Option("--update", help="Teach classes that the model knows once more.")]
SkipUnreadable = Annotated[bool, typer.Option("--skip-unreadable", help="Leave out files that cannot be read.")]
Rename = Annotated[
    list[str] | None, typer.Option(metavar="OLD=NEW", help="Rename a class; teaches nothing.", show_default=False)
]
Undo = Annotated[bool, typer.Option("--undo", help="Go back to before the last lesson.")]


@with_console
def learn(  # noqa: PLR0913  one option each
    console: Console,
    model: Model,
    data: Data = None,
    *,
    backbone: Backbone = None,
    method: MethodName = None,
    layers: Layers = None,
    retest: Retest = None,
    max_drop: MaxDrop = None,
    epochs: Epochs = None,
    time_limit: TimeLimit = None,
    out: Out = None,
    new: New = False,
    skip_known: SkipKnown = False,
    update: Update = False,
    skip_unreadable: SkipUnreadable = False,
    rename: Rename = None,
    undo: Undo = False,
    device: Device = None,
) -> int:
    """Create MODEL, or teach it the classes in DATA.

    All or nothing: whatever goes wrong, the model stays what it was. The images are not kept, and not needed again.
    """
    asked = [word for word, is_asked in (("DATA", data), ("--rename", rename), ("--undo", undo)) if is_asked]
    if len(asked) != 1:
        found = " and ".join(asked) if asked else "nothing to learn"
        raise ConfigError(f"{found} for {model}", expected="one of DATA, --rename OLD=NEW, --undo")
    if data is None:
        lesson: dict[str, object] = {
            "--backbone": backbone,
            "--method": method,
            "--layers": layers,
            "--retest": retest,
            "--max-drop": max_drop,
        }
        lesson |= {"--epochs": epochs, "--time-limit": time_limit, "--out": out, "--new": new}
        lesson |= {"--skip-known": skip_known, "--update": update, "--skip-unreadable": skip_unreadable}
        check_alone(asked[0], lesson)
        return undo_lesson(console, model) if undo else rename_classes(console, model, rename or [])
    _check_max_drop(max_drop, retest)
    wishes: dict[str, Any] = {
        "retest": retest or [],
        "epochs": epochs,
        "time_limit": None if time_limit is None else seconds_of(time_limit),
        "skip_known": skip_known,
        "update": update,
        "skip_unreadable": skip_unreadable,
    }
    from sdlora.bundle import writing
    from sdlora.cli.signals import terminable
    from sdlora.learner.storage import check_target

    _check_places(model, out or model, is_new=new)
    with terminable(), writing(out or model):
        begin = {"backbone": backbone, "method": method, "layers": layers}
        learner = _open(console, model, is_new=new, device=device or "auto", **begin)
        check_target(out or model, learner.history)
        return _teach(console, learner, data, wishes, model=model, out=out or model, max_drop=max_drop)


def _teach(
    console: Console,
    learner: Learner,
    data: Path,
    wishes: dict[str, Any],
    *,
    model: Path,
    out: Path,
    max_drop: float | None,
) -> int:
    from sdlora.cli.lesson import LessonProgress, report
    from sdlora.engine.signals import StopSignals

    before = learner.num_bytes
    try:
        with LessonProgress(console, out, learner) as progress:
            record = learner.learn(data, **wishes, progress=progress)
    except KeyboardInterrupt:
        what = f"{model} is what it was" if learner.history else "nothing was saved"
        console.note(f"Stopped: {what}. The same command begins the lesson anew.")
        return INTERRUPTED
    if max_drop is not None:
        _check_drop(record, max_drop, out)
    with StopSignals():  # too late to stop: the lesson is learned
        learner.save(out)
    document, lines = report(out, learner, record, learner.num_bytes - before)
    console.document(document)
    for line in lines:
        console.result(line)
    return 0


def _open(
    console: Console,
    model: Path,
    *,
    is_new: bool,
    backbone: str | None,
    method: str | None,
    layers: str | None,
    device: str,
) -> Learner:
    """Load a model, or begin one."""
    options = {} if layers is None else {"layers": layers_of(layers)}
    from sdlora.backbones.vit import SHIPPED
    from sdlora.bundle import is_bundle
    from sdlora.learner import Learner

    if is_bundle(model):
        if is_new:
            raise ConfigError(f"{model} exists already", fix="sdlora learn OTHER_FOLDER DATA")
        learner = Learner.load(model, device=device)
        for option, asked, there in (
            ("--backbone", backbone, learner.backbone.name),
            ("--method", method, learner.method_name),
        ):
            if asked not in (None, there):
                raise ConfigError(f"{option} {asked}, but {model} has {there}", fix=f"leave {option} out")
        used = learner.method_options.get("layers")
        if options and options["layers"] != used:
            shown = "last" if used is None else used
            raise ConfigError(f"--layers {layers}, but {model} has {shown}", fix="leave --layers out")
        return learner
    if backbone is None:
        console.note(f"Backbone {SHIPPED}: small, made of letters, for trying out. For photographs: --backbone NAME")
    return Learner(backbone, method=method or "sdlora", device=device, **options)


def _check_places(model: Path, out: Path, *, is_new: bool) -> None:
    """Refuse folders of somebody else, before a lock is put into what may be pictures, and names that look mistyped.

    Raises:
        BundleError: If there is something that is no model.
        ConfigError: If there is no such model, but one of a similar name, and a new one was not asked for.
    """
    from sdlora.bundle import check_free, is_bundle, neighbour

    for folder in (model, out):
        if not is_bundle(folder):
            check_free(folder)
    if not model.exists() and not is_new and (similar := neighbour(model)):
        raise ConfigError(
            f"{model} does not exist, {similar} does",
            fix=f"sdlora learn {quote(str(similar))} DATA, or --new to begin {model}",
        )


def _check_max_drop(max_drop: float | None, retest: list[Path] | None) -> None:
    """Refuse a bound that could hold nothing back.

    Raises:
        ConfigError: If it is no share, or there is nothing to measure it on.
    """
    if max_drop is None:
        return
    if not 0 <= max_drop <= 1:
        raise ConfigError(f"--max-drop {max_drop:g}", expected="a share from 0 to 1, such as 0.02 for two points")
    if not retest:
        raise ConfigError("--max-drop without --retest", expected="a folder to measure the drop on")


def _check_drop(record: TaskRecord, max_drop: float, out: Path) -> None:
    """Refuse a lesson after which a retest has fallen too far.

    Raises:
        CheckError: Naming each such retest.
    """
    fallen = [
        f"{retest.name} falls from {100 * retest.before:.1f} % to {100 * retest.after:.1f} %"
        for retest in record.retests
        if retest.before - retest.after > max_drop
    ]
    if fallen:
        raise CheckError(
            f"{', '.join(fallen)}; {out} is what it was",
            expected=f"at most {100 * max_drop:g} points less",
            fix="more images, fewer epochs, or a larger --max-drop",
        )


def layers_of(text: str) -> Any:
    """Return the option `layers` that a word stands for: ``all``, ``last`` (None), or a number of blocks.

    Raises:
        ConfigError: If it is none of these.
    """
    if text == "all":
        return text
    if text == "last":
        return None
    if text.isascii() and text.isdigit() and int(text):
        return int(text)
    raise ConfigError(f'--layers "{text}"', expected="all, last, or a number of blocks")


def seconds_of(text: str) -> float:
    """Return the seconds that a text such as ``90s``, ``10m`` or ``1.5h`` means; a bare number is seconds.

    Raises:
        ConfigError: If it means no time.
    """
    unit = UNITS.get(text[-1:].lower())
    try:
        seconds = float(text[:-1] if unit else text) * (unit or 1.0)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigError(f'--time-limit "{text}"', expected="a time such as 90s, 10m or 1h")
    return seconds
