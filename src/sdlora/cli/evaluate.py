"""``sdlora evaluate``: how often a model is right on labelled images."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from sdlora.cli.console import Console
from sdlora.cli.options import Device, with_console
from sdlora.errors import ConfigError

if TYPE_CHECKING:
    from sdlora.learner import Learner
    from sdlora.learner.data import LabelledImages
    from sdlora.predictions import Evaluation
    from sdlora.reports.mistakes import Mistake

EXAMPLES = ("sdlora evaluate shop photos/test", "sdlora evaluate shop photos/test --out mistakes.html")

NAMED = 3  # classes and confusions that are printed, files that are named

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A folder written by sdlora learn.")]
Data = Annotated[Path, typer.Argument(metavar="DATA", help="A folder of class folders, or a CSV of path,label.")]
IgnoreUnknown = Annotated[bool, typer.Option("--ignore-unknown", help="Leave out classes that MODEL was never taught.")]
Record = Annotated[bool, typer.Option("--record", help="Write what was measured into MODEL and its card.")]
Out = Annotated[
    Path | None,
    typer.Option("--out", metavar="FILE", help="A page of the most confident mistakes.", show_default=False),
]


@with_console
def evaluate(
    console: Console,
    model: Model,
    data: Data,
    *,
    ignore_unknown: IgnoreUnknown = False,
    record: Record = False,
    out: Out = None,
    device: Device = None,
) -> int:
    """Measure how often a model is right, in all and by lesson.

    It answers with any class it knows, whatever the images show. Of data with a part called test that part counts,
    else all. A class is known by its name.
    """
    from sdlora.learner import Learner
    from sdlora.learner.data import opened
    from sdlora.reports.mistakes import check_free, write_mistakes

    if out is not None:
        check_free(out)
    learner = Learner.load(model, device=device or "auto")
    with opened(data, learner.augment.shorter_side(learner.image_size), skip_unreadable=True) as images:
        unknown = check_classes(images.classes, learner.classes, model, data, ignore_unknown=ignore_unknown)
        if images.skipped:
            console.warn(f"skipped {_some(images.skipped)}: not readable as images")
        evaluation, mistakes = measure(console, learner, images, unknown, keeps_mistakes=out is not None)
        if record:
            put_on_record(model, learner.model_version, images, evaluation)
    console.document(evaluation.to_dict())
    for line in lines(evaluation, learner.num_seen, model, data):
        console.result(line)
    if record:
        console.note(f"Recorded in {model}/README.md")
    if out is not None:
        write_mistakes(mistakes, evaluation, out, title=f"{data.name} through {model.name}")
        console.note(f"Mistakes: {out}")
    return 0


def check_classes(
    found: Sequence[str], known: Sequence[str], model: Path, data: Path, *, ignore_unknown: bool
) -> tuple[str, ...]:
    """Return the classes of the data that the model was never taught.

    Raises:
        DataError: If there are any and they are not to be ignored, or some differ from known ones in case only.
    """
    from sdlora.bundle.names import case_twins
    from sdlora.datasets.listing import itemised
    from sdlora.errors import DataError

    if twins := case_twins(found, known):
        problems = [f'{data}/{name} differs from the class "{twin}" in case only' for name, twin in twins.items()]
        raise itemised(f"{data} has names that are almost right:", problems, expected="the exact names", fix="rename")
    unknown = tuple(name for name in found if name not in known)
    if len(unknown) == len(found):
        raise DataError(f"{data} has no class that {model} was taught: {_some(unknown)}", expected=_some(known))
    if unknown and not ignore_unknown:
        classes, them = ("1 class", "it") if len(unknown) == 1 else (f"{len(unknown)} classes", "them")
        raise DataError(
            f"{data} has {classes} that {model} was never taught: {_some(unknown)}",
            fix=f"--ignore-unknown, or teach {them}: sdlora learn {quote(str(model))} FOLDER",
        )
    return unknown


def measure(
    console: Console, learner: Learner, images: LabelledImages, unknown: Sequence[str], *, keeps_mistakes: bool
) -> tuple[Evaluation, list[Mistake]]:
    """Ask the model about every image of a class it knows, and count; the answers are those of ``sdlora predict``."""
    import numpy as np

    from sdlora.cli.answers import ask, tasks_of_classes
    from sdlora.cli.counting import counting
    from sdlora.predictions import make_evaluation
    from sdlora.reports.mistakes import Worst

    place = {name: index for index, name in enumerate(learner.classes)}
    rows = [row for row in images.for_testing().tolist() if images.classes[images.labels[row]] in place]
    if not rows:
        raise ConfigError("no image of a class that the model knows", expected="at least one")
    labels, said = np.empty((2, len(rows)), dtype=np.int64)
    worst = Worst(learner.classes)
    answers = ask(learner, rows, lambda row: learner.preprocess(images.images[row]))
    for index, (row, shares) in enumerate(counting(console, "image", answers, len(rows))):
        assert isinstance(shares, np.ndarray)  # what cannot be read was left out above
        labels[index], said[index] = place[images.classes[images.labels[row]]], shares.argmax()
        if keeps_mistakes and labels[index] != said[index]:
            worst.add(labels[index].item(), shares, images.images[row])
    evaluation = make_evaluation(labels, said, learner.classes, tasks_of_classes(learner), unknown=unknown)
    return evaluation, worst.mistakes()


def put_on_record(model: Path, version: str, images: LabelledImages, evaluation: Evaluation) -> None:
    """Write an evaluation into the model folder; the weights stay.

    Raises:
        BusyError: If the model has changed since it was measured.
    """
    from datetime import UTC, datetime

    from sdlora.bundle import MeasuredTask, Measurement, record, writing

    measurement = Measurement(
        name=images.name,
        sha256=data_hash(images, evaluation.unknown),
        num_images=evaluation.num_images,
        accuracy=evaluation.accuracy,
        tasks=tuple(
            MeasuredTask(task=part.task, num_images=part.num_images, accuracy=part.accuracy)
            for part in evaluation.tasks
        ),
        date=datetime.now(UTC).date().isoformat(),
    )
    with writing(model):
        record(model, int(version.partition("-")[0]), measurement)


def data_hash(images: LabelledImages, left_out: Sequence[str]) -> str:
    """Return the sha256 over pixels and labels of the images that were measured, in order."""
    import hashlib

    total = hashlib.sha256()
    for row in images.for_testing().tolist():
        label = images.classes[images.labels[row]]
        if label not in left_out:
            pixels = images.images[row]
            total.update(repr((label, pixels.shape)).encode())
            total.update(pixels.tobytes())
    return total.hexdigest()


def lines(evaluation: Evaluation, num_seen: int, model: Path, data: Path) -> list[str]:
    """Return what was found for people: in all, by lesson, the hardest classes, the commonest confusions."""
    from sdlora.learner.summary import counted
    from sdlora.reports.text import percent

    present = len(evaluation.classes)
    classes = f"all {num_seen} classes present" if present == num_seen else f"{present} of {num_seen} classes present"
    rows = [("all", percent(evaluation.accuracy), f"mean over lessons {percent(evaluation.accuracy_task_mean)} %")]
    for task in evaluation.tasks:
        counts = f"{counted(task.num_classes, 'class', 'classes'):<13}{counted(task.num_images, 'image', 'images')}"
        rows.append((f"lesson {task.task}", percent(task.accuracy), counts))
    hardest = [f"{entry.label} {percent(entry.accuracy)} %" for entry in evaluation.hardest(NAMED)]
    confused = [f"{pair.true} -> {pair.predicted} {pair.count}" for pair in evaluation.confusions[:NAMED]]
    found = [
        f"{model} on {data}: {counted(evaluation.num_images, 'image', 'images')}, {classes}",
        *(f"  {name:<12} {share:>5} %    {rest}" for name, share, rest in rows),
    ]
    for name, entries in (("hardest", hardest), ("confused", confused)):
        if entries:
            found.append(f"  {name:<12} {'    '.join(entries)}")
    if evaluation.unknown:
        found.append(f"  left out     {_some(evaluation.unknown)}: never taught")
    return found


def _some(names: Sequence[str]) -> str:
    """Return the first few names, and how many more there are."""
    more = f" and {len(names) - NAMED:,} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
