"""``sdlora predict``: which of its classes a model finds in images."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.cells import cell_len

from sdlora.cli.console import Console
from sdlora.cli.options import Device, with_console
from sdlora.errors import ConfigError, PartialError

if TYPE_CHECKING:
    from sdlora.cli.answers import Unreadable
    from sdlora.predictions import Prediction

EXAMPLES = ("sdlora predict shop photos/", "sdlora predict shop a.jpg b.jpg --top-k 5 --json")

WIDEST_NAME, WIDEST_LABEL = 60, 24  # columns; what is longer pushes the rest of its line aside
SURE, UNSURE, UNREADABLE = "sure", "not sure", "unreadable"

Model = Annotated[Path, typer.Argument(metavar="MODEL", help="A folder written by sdlora learn.")]
Images = Annotated[
    list[str], typer.Argument(metavar="IMAGE...", help="Files, folders, patterns, or - for paths on standard input.")
]
TopK = Annotated[int, typer.Option("--top-k", metavar="K", help="How many classes to name.")]
Threshold = Annotated[float, typer.Option(metavar="SHARE", help="Below this probability the answer is: not sure.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print comma-separated values, a row for each image.")]


@with_console
def predict(
    console: Console,
    model: Model,
    images: Images,
    *,
    top_k: TopK = 3,
    threshold: Threshold = 0.5,
    csv: Csv = False,
    device: Device = None,
) -> int:
    """Name the classes a model finds in images, the likeliest first.

    It can answer only with the classes it was taught, and a high probability is no measured certainty.
    """
    from sdlora.cli.answer_rows import Rows
    from sdlora.cli.answers import Unreadable, ask, read_file, tasks_of_classes
    from sdlora.cli.gather import gather
    from sdlora.learner import Learner
    from sdlora.predictions import check_options, make_predictions

    check_options(top_k, threshold)
    if csv and console.is_json:
        raise ConfigError("--csv and --json at once", expected="one of them")
    paths = gather(images)
    learner = Learner.load(model, device=device or "auto")
    tasks, lines = tasks_of_classes(learner), Rows() if csv else _Lines(paths, learner.classes)
    if lines.heading:
        console.result(lines.heading)
    counts: Counter[str] = Counter()
    started = time.monotonic()
    with console.array() as add:
        for path, answer in ask(learner, paths, partial(read_file, learner)):
            image = str(path)
            if isinstance(answer, Unreadable):
                counts[UNREADABLE] += 1
                add(failure(image, answer))
                console.result(lines.failure(image, answer))
                continue
            (prediction,) = make_predictions(
                answer[None], learner.classes, tasks, images=[image], top_k=top_k, threshold=threshold
            )
            counts[UNSURE if prediction.is_unsure else SURE] += 1
            add(prediction.to_dict())
            console.result(lines.prediction(image, prediction))
    speed = len(paths) / (time.monotonic() - started)
    console.note(f"{summary(counts, threshold)}. {speed:.0f} images/s, {learner.device}")
    return PartialError.exit_code if counts[UNREADABLE] else 0


def failure(image: str, why: Unreadable) -> dict[str, Any]:
    """Return what ``--json`` prints for an image that cannot be read: the keys of a prediction, without values."""
    nothing: dict[str, Any] = {"label": None, "probability": None, "is_unsure": None, "task": None, "top": []}
    return {"image": image, **nothing, "error": {"code": why.code, "message": why.message}}


def summary(counts: Counter[str], threshold: float) -> str:
    """Return how many images there were of which kind."""
    kinds = [f"{counts[SURE]} sure"]
    if counts[UNSURE]:
        kinds.append(f"{counts[UNSURE]} not sure (best below {threshold:.2f})")
    if counts[UNREADABLE]:
        kinds.append(f"{counts[UNREADABLE]} unreadable")
    total = counts.total()
    return f"{total} image{'s'[: total != 1]}: {', '.join(kinds)}"


class _Lines:
    """A line for each image, in columns as wide as what they will hold.

    Args:
        paths: All images.
        classes: All classes.
    """

    heading = ""

    def __init__(self, paths: Sequence[Path], classes: Sequence[str]) -> None:
        self.name_width = _width([str(path) for path in paths], WIDEST_NAME)
        self.label_width = _width([*classes, UNREADABLE], WIDEST_LABEL)

    def prediction(self, image: str, found: Prediction) -> str:
        """Return the best class and its probability, then the others; all of them if it is not sure."""
        label, others = (UNSURE, found.top) if found.is_unsure else (found.label, found.top[1:])
        rest = "   ".join(f"{_shown(other)} {share:.2f}" for other, share in others)
        return f"{self._begin(image, label)}  {found.probability:.2f}   {rest}".rstrip()

    def failure(self, image: str, why: Unreadable) -> str:
        """Return why there is no class."""
        return f"{self._begin(image, UNREADABLE)}         {why.message}"

    def _begin(self, image: str, label: str) -> str:
        return f"{_padded(_shown(image), self.name_width)}   {_padded(_shown(label), self.label_width)}"


def _shown(text: str) -> str:
    from sdlora.datasets.images import printable

    return printable(text)


def _width(texts: Sequence[str], widest: int) -> int:
    return min(widest, max(cell_len(_shown(text)) for text in texts))


def _padded(text: str, width: int) -> str:
    return text + " " * (width - cell_len(text))
