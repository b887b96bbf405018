"""What a lesson tells of itself while it goes on."""

from __future__ import annotations

from dataclasses import dataclass

from sdlora.engine import Observer


@dataclass(frozen=True)
class LessonPlan:
    """What a lesson is about to do.

    Attributes:
        task: Its number, from 1.
        new: Classes that it adds.
        updated: Known classes that it teaches again.
        num_images: Images in all.
        num_held_out: How many of them are held out.
        skipped: Files that are no readable images.
        notes: What else was left out, a line each.
    """

    task: int
    new: tuple[str, ...]
    updated: tuple[str, ...]
    num_images: int
    num_held_out: int
    skipped: tuple[str, ...]
    notes: tuple[str, ...]


class LessonObserver(Observer):
    """Hears what a lesson does, to draw bars or to print lines; override what matters. It cannot change the lesson."""

    def on_plan(self, plan: LessonPlan) -> None:
        """The data were read and divided; teaching begins."""

    def on_estimate(self, seconds: float) -> None:
        """The first steps were timed: this long it will take from now on, with the tests that follow training."""

    def on_held_out(self, accuracy: float) -> None:
        """The held-out images were measured between two epochs; a fraction."""
