"""What a person sees of a lesson: a heading, a bar, and what came of it."""

from __future__ import annotations

import time
from pathlib import Path
from shlex import quote
from types import TracebackType
from typing import Any

from sdlora.bundle import Retest, TaskRecord
from sdlora.cli.console import Console
from sdlora.cli.progress import TrainingProgress
from sdlora.datasets.images import printable
from sdlora.engine import StepReport
from sdlora.engine.progress import Progress
from sdlora.learner import Learner, LessonObserver, LessonPlan
from sdlora.learner.summary import advice_on, counted, known
from sdlora.reports.text import duration, listed, percent

SILENCE = 2.0  # seconds between two lines about epochs; small lessons have many short ones
WORTH_SAYING = 5.0  # seconds; how long a shorter lesson takes is not announced
NAMED = 3  # of many skipped files, how many are named


class LessonProgress(LessonObserver):
    """Tells a console how a lesson goes; used as a context.

    Args:
        console: Where to tell it.
        model: What the model is called.
        learner: Who is taught.
    """

    def __init__(self, console: Console, model: Path, learner: Learner) -> None:
        self.console, self.model, self.learner = console, model, learner
        self._is_last, self._told = False, time.monotonic()
        self._epoch = 0  # that was finished last, from 1
        self._training = TrainingProgress(console, f"lesson {learner.num_tasks + 1}")

    def __enter__(self) -> LessonProgress:
        self._training.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._training.__exit__(kind, error, trace)

    def on_plan(self, plan: LessonPlan) -> None:
        again = [f"{counted(len(plan.updated), 'known class', 'known classes')} again"] if plan.updated else []
        new = [counted(len(plan.new), "new class", "new classes")] if plan.new else []
        images = f"{counted(plan.num_images, 'image', 'images')} ({plan.num_held_out:,} held out)"
        self.console.note(
            f"Lesson {plan.task} for {self.model}: {', '.join(new + again)}, {images}, {self.learner.method_name}, "
            f"{self.learner.device}."
        )
        if plan.skipped:
            some = ", ".join(map(printable, plan.skipped[:NAMED])) + (", ..." if len(plan.skipped) > NAMED else "")
            self.console.note(f"  skipped {counted(len(plan.skipped), 'unreadable file', 'unreadable files')} ({some})")
        for note in plan.notes:
            self.console.note(f"  {note}")

    def on_estimate(self, seconds: float) -> None:
        if seconds > WORTH_SAYING:
            self.console.note(f"  about {roughly(seconds)}")

    def on_held_out(self, accuracy: float) -> None:
        self._training.extra = f"  held-out {100 * accuracy:.0f} % after epoch {self._epoch}"

    def on_start(self, progress: Progress) -> None:
        self._training.on_start(progress)

    def on_step(self, report: StepReport) -> None:
        self._is_last = report.epoch + 1 == report.num_epochs
        self._training.on_step(report)

    def on_epoch(self, row: dict[str, Any]) -> None:
        self._epoch = row["epoch"] + 1
        if self._is_last or time.monotonic() - self._told >= SILENCE:
            self._told = time.monotonic()
            self._training.on_epoch(row)


def report(model: Path, learner: Learner, record: TaskRecord, new_bytes: int) -> tuple[dict[str, Any], list[str]]:
    """Return what ``sdlora learn`` prints of a lesson that was saved: for programs, and for people.

    Args:
        model: Where it was saved.
        learner: Who learned it.
        record: What happened.
        new_bytes: By how much the weights grew.
    """
    document = {
        "model": str(model),
        "version": learner.model_version,
        **record.model_dump(include={"task", "num_images", "num_held_out", "held_out_accuracy", "skipped", "seconds"}),
        "classes": list(record.classes),
        "source": record.source,
        "updated": list(record.updated),
        "weakest": record.weakest.model_dump() if record.weakest else None,
        "chance": record.chance,
        "comparison": record.comparison.model_dump() if record.comparison else None,
        "advice": advice_on(learner, record),
        "retests": [
            {
                "path": retest.name,
                "tasks": list(retest.tasks),
                "num_images": retest.num_images,
                "before": retest.before,
                "after": retest.after,
            }
            for retest in record.retests
        ],
        "epochs": record.epochs,
        "num_seen": learner.num_seen,
    }
    rows = [("classes of this lesson, held-out images", _held_out(record)), *map(_retest, record.retests)]
    if unmeasured := [task.task for task in learner.history[:-1] if task.classes and not record.covers(task)]:
        rows.append((_lessons(unmeasured), "not measured: the images are gone (--retest FOLDER measures)"))
    width = max(len(name) for name, _ in rows)
    saved = f"Saved {model}: {known(learner)}, {new_bytes / 1e6:+.1f} MB, taught in {duration(record.seconds)}."
    name = quote(str(model))
    undo = f" Undo: sdlora learn {name} --undo" if learner.num_tasks > 1 else f" Next: sdlora predict {name} IMAGE"
    told = [f"  {name.ljust(width)}  {value}" for name, value in rows]
    if bad := document["advice"]:
        told.append(f"  Warning: {bad}")
    return document, [*told, saved + undo]


def roughly(seconds: float) -> str:
    """Return a time as roughly as an estimate can be: 5 s steps, whole minutes, half hours."""
    if seconds < 90:
        return f"{max(5, 5 * round(seconds / 5))} s"
    return f"{round(seconds / 60)} min" if seconds < 5400 else f"{round(seconds / 1800) / 2:g} h"


def _held_out(record: TaskRecord) -> str:
    if record.held_out_accuracy is None:
        return "not measured: too few to hold any out"
    text = f"{percent(record.held_out_accuracy)} %"
    if record.weakest and record.weakest.taken_for:
        label, taken_for = printable(record.weakest.label), printable(record.weakest.taken_for)
        text += f"   weakest: {label} {100 * record.weakest.accuracy:.0f} % (taken for {taken_for})"
    return text


def _retest(retest: Retest) -> tuple[str, str]:
    taught = f", {_lessons(list(retest.tasks))}" if retest.tasks else ""
    name = f"{printable(retest.name)}{taught}, {counted(retest.num_images, 'image', 'images')}"
    return name, f"{percent(retest.before)} % -> {percent(retest.after)} %"


def _lessons(tasks: list[int]) -> str:
    """Return "lesson 2" or "lessons 1, 2 and 4"."""
    return f"lesson{'s'[: len(tasks) > 1]} {listed([str(task) for task in tasks])}"
