"""A learner in a few lines of text."""

from __future__ import annotations

from collections.abc import Sequence

from sdlora.bundle import TaskRecord

SHOWN = 3  # classes of a lesson that are named


def summary(title: str, history: Sequence[TaskRecord], num_bytes: int) -> str:
    """Return one line about the whole and one for each lesson.

    Args:
        title: What to call the learner.
        history: Its lessons.
        num_bytes: Size of what it has learned.
    """
    rows = [("lesson", "date", "classes", "images", "held-out then")]
    rows += [
        (str(task.task), task.date, _names(task.classes), str(task.num_images), _percent(task.held_out_accuracy))
        for task in history
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([f"{title}, {num_bytes / 1e6:.1f} MB learned", *(lines if history else [])])


def _names(classes: Sequence[str]) -> str:
    more = f" +{len(classes) - SHOWN}" if len(classes) > SHOWN else ""
    return ", ".join(classes[:SHOWN]) + more


def _percent(fraction: float | None) -> str:
    return "not measured" if fraction is None else f"{100 * fraction:.1f} %"
