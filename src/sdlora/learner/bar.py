"""A bar that shows how a lesson goes, on a terminal and in a notebook."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sdlora.engine import Observer, StepReport
from sdlora.learner.observer import LessonObserver, LessonPlan

SECONDS = 0.5  # between two readings of the loss, which make a GPU wait


@contextmanager
def watching(progress: Observer | bool | None) -> Iterator[Observer]:
    """Give whoever hears of a lesson.

    Args:
        progress: An observer; or whether to show a bar: None for yes on a terminal and in a notebook, else no.
    """
    if isinstance(progress, Observer):
        yield progress
    elif has_screen() if progress is None else progress:
        bar = LessonBar()
        try:
            yield bar
        finally:
            bar.close()
    else:
        yield Observer()


def has_screen() -> bool:
    """Whether somebody watches: stderr is a terminal, or this is a notebook."""
    return bool(sys.stderr and sys.stderr.isatty()) or in_notebook()


def in_notebook() -> bool:
    """Whether this code runs in a cell of a notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config


class LessonBar(LessonObserver):
    """Draws the bar; it vanishes when the lesson is over, for the record says what came of it."""

    def __init__(self) -> None:
        self._bar: Any = None
        self._label, self._held_out, self._told = "lesson", "", 0.0

    def on_plan(self, plan: LessonPlan) -> None:
        self._label = f"lesson {plan.task}"

    def on_held_out(self, accuracy: float) -> None:
        self._held_out = f", held-out {100 * accuracy:.0f} %"

    def on_step(self, report: StepReport) -> None:
        if self._bar is None:
            from tqdm.auto import tqdm  # looks for a notebook when it is imported

            self._bar = tqdm(desc=self._label, total=report.total_images, unit=" images", leave=False)
        self._bar.total = report.total_images  # fewer where a time limit cuts epochs
        self._bar.update(report.done_images - self._bar.n)
        now = time.monotonic()
        if now - self._told >= SECONDS:
            self._told = now
            place = f"epoch {report.epoch + 1}/{report.num_epochs}"
            self._bar.set_postfix_str(f"{place}, loss {float(report.loss):.2f}{self._held_out}")

    def close(self) -> None:
        """Remove the bar."""
        if self._bar is not None:
            self._bar.close()
