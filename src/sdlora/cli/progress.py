"""What a person sees while a run trains: a bar on a terminal, else a line for each epoch or half a minute."""

from __future__ import annotations

import time
from statistics import fmean
from types import TracebackType
from typing import Any

from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichProgress

from sdlora.cli.console import Console
from sdlora.engine.progress import Observer, Progress, StepReport
from sdlora.reports.text import duration, percent

PLAIN_SECONDS = 30.0  # longest silence without a terminal
WIDE = 110  # columns from which speed and time for all runs stand beside the bar
BAR_SECONDS = 0.5  # time between two readings of the loss, which make a GPU wait


class TrainingProgress(Observer):
    """Tells a console how one run goes; used as a context.

    Args:
        console: Where to tell it.
        label: What the run is called.
        later_runs: Runs of the same length that follow, for the time left in all.

    Attributes:
        is_begun: Whether there was anything to do.
        place: Task and epoch of the last step.
        extra: What else to say of the run beside its loss.
    """

    def __init__(self, console: Console, label: str, later_runs: int = 0) -> None:
        self.console, self.label, self.later_runs = console, label, later_runs
        self.is_begun = False
        self.place, self.extra = "task 1, epoch 1", ""
        self._last: StepReport | None = None
        self._started = self._told = time.monotonic()
        self._first_images: int | None = None
        self._bar = RichProgress(
            TextColumn("  {task.description}"),
            BarColumn(None),
            TaskProgressColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[rest]}"),
            console=console.stderr,
            expand=True,
            transient=True,
        )
        self._row = self._bar.add_task(label, total=None, rest="")

    def __enter__(self) -> TrainingProgress:
        if self.console.has_bars:
            self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.console.has_bars:
            self._bar.stop()

    def on_start(self, progress: Progress) -> None:
        self.is_begun = True
        self._started = self._told = time.monotonic()
        self.place = f"task {progress.task + 1}" + (
            f", epoch {progress.epoch + 1}" if progress.phase == "train" else ""
        )
        if progress.num_begun:
            self.console.note(f"  {self.label} found at {self.place}: continues there")

    def on_step(self, report: StepReport) -> None:
        self._last, self.place = report, f"task {report.task + 1}, epoch {report.epoch + 1}"
        if self._first_images is None:
            self._first_images, self._started = report.done_images, time.monotonic()
        since = time.monotonic() - self._told
        if self.console.has_bars and since >= BAR_SECONDS:
            self._told = time.monotonic()
            self._bar.update(
                self._row,
                description=self._place(report),
                total=report.total_images,
                completed=report.done_images,
                rest=f"loss {float(report.loss):.2f}{self.extra}{self._speed(report)}",
            )
        elif not self.console.has_bars and since >= PLAIN_SECONDS:
            self._tell(report, float(report.loss))

    def on_epoch(self, row: dict[str, Any]) -> None:
        if self._last is not None and not self.console.has_bars:
            self._tell(self._last, row["loss"])

    def on_task(self, row: dict[str, Any]) -> None:
        seen = [value for value in row["accuracy"] if value is not None]
        each = f"  (task 1-{len(seen)}: {'  '.join(map(percent, seen))})" if len(seen) > 1 else ""
        mean = percent(fmean(seen))
        self.console.note(f"  {self.label}  task {row['task'] + 1} learned  accuracy {mean} %{each}")

    def on_warning(self, message: str) -> None:
        self.console.warn(message)

    def _tell(self, report: StepReport, loss: float) -> None:
        self._told = time.monotonic()
        self.console.note(f"  {self._place(report)}  loss {loss:.2f}{self.extra}{self._speed(report)}")

    def _place(self, report: StepReport) -> str:
        task = f"  task {report.task + 1}/{report.num_tasks}" if report.num_tasks > 1 else ""
        return f"{self.label}{task}  epoch {report.epoch + 1}/{report.num_epochs}"

    def _speed(self, report: StepReport) -> str:
        """Return speed and time left, once there is something to tell them from; tests between tasks count as well."""
        done = report.done_images - (self._first_images or 0)
        seconds = time.monotonic() - self._started
        if done <= 0 or seconds < 1:
            return ""
        speed = done / seconds
        left = (report.total_images - report.done_images) / speed
        if self.console.has_bars and self.console.stderr.width < WIDE:
            return f"  {duration(left)} left"
        later = self.later_runs * report.total_images / speed
        both = f", all {duration(left + later)}" if self.later_runs else ""
        return f"  {speed:.0f} images/s  {duration(left)} left{both}"
