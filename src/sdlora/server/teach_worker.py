"""A process that teaches one lesson and adds it to the bundle, or leaves the bundle as it was.

Run as ``python -m sdlora.server.teach_worker``. The first line of stdin is the `Job`; when stdin ends, because the
lesson was cancelled or the server died, training stops and nothing is written. Events go to stdout, a JSON line each.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch
from numpy.typing import NDArray

from sdlora.datasets.images import decode
from sdlora.engine.progress import StepReport
from sdlora.errors import SDLoRAError
from sdlora.learner.observer import LessonObserver
from sdlora.server.beside import TEACHING, step_back

REPORT_SECONDS = 0.25  # between two lines about progress


@dataclass(frozen=True)
class Job:
    """What to teach.

    Attributes:
        model: The bundle.
        folder: Where the pictures lie.
        classes: Names.
        pictures: File names of the pictures of each class.
        retest: Folders of earlier classes, measured before and after.
        device: Where to compute.
    """

    model: str
    folder: str
    classes: list[str]
    pictures: list[list[str]]
    retest: list[str]
    device: str

    def to_line(self) -> bytes:
        """Return the job as the first line of stdin."""
        return json.dumps(asdict(self)).encode() + b"\n"


class Pictures(torch.utils.data.Dataset[tuple[NDArray[np.uint8], int]]):
    """The pictures of a lesson, with the names of its classes.

    Attributes:
        name: Where they come from, for the record.
        classes: Names.
    """

    name = "page"

    def __init__(self, folder: Path, classes: Sequence[str], pictures: Sequence[Sequence[str]]) -> None:
        self.classes = list(classes)
        self._items = [(folder / name, label) for label, names in enumerate(pictures) for name in names]

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> tuple[NDArray[np.uint8], int]:
        path, label = self._items[index]
        return decode(path, name=path.name, formats=("PNG",)), label


class Events(LessonObserver):
    """Writes what happens as JSON lines."""

    def __init__(self, target: TextIO) -> None:
        self._target = target
        self._started: float | None = None
        self._first = 0
        self._told = 0.0
        self._held_out: float | None = None  # accuracy so far

    def tell(self, event: str, **facts: Any) -> None:
        """Write one line."""
        self._target.write(json.dumps({"event": event, **facts}) + "\n")
        self._target.flush()

    def on_held_out(self, accuracy: float) -> None:
        self._held_out = accuracy

    def on_step(self, report: StepReport) -> None:
        now = time.monotonic()
        if self._started is None:
            self._started, self._first = now, report.done_images
            return
        is_last = report.done_images >= report.total_images
        if now - self._told < REPORT_SECONDS and not is_last:
            return
        self._told = now
        speed = (report.done_images - self._first) / max(now - self._started, 1e-6)  # images a second
        self.tell(
            "progress",
            epoch=report.epoch + 1,
            num_epochs=report.num_epochs,
            fraction=min(report.done_images / report.total_images, 1.0),
            seconds_left=(report.total_images - report.done_images) / speed if speed else None,
            held_out_accuracy=self._held_out,
        )


def teach(job: Job, events: Events, should_stop: Callable[[], bool]) -> None:
    """Teach the lesson and say how it went; nothing is written unless it went well."""
    from sdlora.learner import Learner
    from sdlora.learner.summary import advice_on

    try:
        is_new = not Path(job.model).exists()
        learner = Learner(device=job.device) if is_new else Learner.load(job.model, device=job.device)
        data = Pictures(Path(job.folder), job.classes, job.pictures)
        record = learner.learn(data, retest=job.retest, progress=events, should_stop=should_stop)
        if should_stop():
            raise KeyboardInterrupt
        learner.save(job.model)
        events.tell("done", record={**record.model_dump(mode="json"), "advice": advice_on(learner, record)})
    except KeyboardInterrupt:
        events.tell("cancelled")
    except SDLoRAError as error:
        events.tell("failed", detail=error.what, fix=error.fix)
    except Exception as error:
        traceback.print_exc()
        events.tell("failed", detail=f"Internal error: {type(error).__name__}. The log has more.", fix=None)


def main() -> None:
    """Teach the job on stdin."""
    target = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # stdout is for events alone
    step_back(TEACHING)
    job = Job(**json.loads(sys.stdin.readline()))
    stopped = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        stopped.set()

    threading.Thread(target=watch, daemon=True).start()
    teach(job, Events(target), stopped.is_set)
    target.flush()
    os._exit(0)  # the thread still reads stdin, which ends when the server says so


if __name__ == "__main__":
    main()
