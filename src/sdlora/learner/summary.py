"""A learner in a few lines of text: what it is, what it stands on, and a line for each lesson."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.cells import cell_len

from sdlora.adapters.inject import adapters_of
from sdlora.backbones.vit import SHIPPED
from sdlora.bundle import TaskRecord
from sdlora.datasets.images import printable
from sdlora.learner.advice import advice
from sdlora.learner.state import begins_task

if TYPE_CHECKING:
    from sdlora.learner.learner import Learner

NAMED = 3  # classes of a lesson that are named in the table
WORDS = ("date", "classes", "from")  # columns that begin at the left; the others hold numbers
DASH = "\N{EN DASH}"  # not measured, or there is no such thing


def known(learner: Learner) -> str:
    """Return how much it knows, such as ``"37 classes in 3 lessons"``."""
    if not learner.history:
        return "not taught yet"
    return f"{counted(learner.num_seen, 'class', 'classes')} in {counted(learner.num_tasks, 'lesson', 'lessons')}"


def heading(learner: Learner) -> list[str]:
    """Return what it is, what it stands on, and the size of what was learned."""
    rank = learner.method_options.get("rank")
    method = learner.method_name + (f" rank {rank}" if rank is not None else "")
    backbone = learner.backbone
    origin = ", comes with sdlora" if backbone.name == SHIPPED and learner.source.base is None else ""
    return [
        f"{known(learner)}, {method}, version {learner.model_version}",
        f"backbone {backbone.name} (sha256 {backbone.sha256[:8]}), {num_pretrained(learner) / 1e6:.3g} M{origin}",
        f"learned  {learner.num_bytes / 1e6:.2f} MB",
    ]


def lesson_table(learner: Learner) -> list[str]:
    """Return a line for each lesson under the names of the columns, or nothing before the first one.

    The accuracy on held-out images is a record of the day of the lesson, among the classes known then.
    """
    history = learner.history
    rows = [
        {
            "lesson": str(record.task),
            "date": record.date,
            "classes": _named(record.classes) if record.classes else f"again: {_named(record.updated)}",
            "images": f"{record.num_images:,}",
            "from": printable(record.source or DASH),
            "held-out then": _percent(record.held_out_accuracy),
        }
        for record in history
    ]
    for column, name, form in (("rank", "ranks", ".3g"), ("magnitude", "magnitudes", ".2f")):
        for row, value in zip(rows, by_lesson(learner, name) or (), strict=False):
            row[column] = DASH if value is None else format(value, form)
    return _aligned([dict(zip(rows[0], rows[0], strict=True)), *rows]) if rows else []


def warnings(learner: Learner) -> list[str]:
    """Return a line for each lesson that came out badly on its day, with what helps."""
    found = [(record.task, advice_on(learner, record)) for record in learner.history]
    return [f"lesson {task}: {text}" for task, text in found if text]


def advice_on(learner: Learner, record: TaskRecord) -> str | None:
    """Return what is wrong with a lesson and what helps, or None."""
    return advice(record, learner.backbone.name, learner.method_options)


def num_pretrained(learner: Learner) -> int:
    """Return how many parameters the backbone has without what was put into it."""
    model = learner.backbone.model
    added = [
        parameter
        for adapter in adapters_of(model).values()
        for name, parameter in adapter.named_parameters()
        if not name.startswith("base.")
    ]
    return sum(parameter.numel() for parameter in model.parameters()) - sum(parameter.numel() for parameter in added)


def by_lesson(learner: Learner, name: str) -> list[float | None] | None:
    """Return what the method reports of its tasks, such as their magnitudes, by lesson; None if it has no such thing.

    A lesson that trained nothing has None.
    """
    lessons = [record for record in learner.history if begins_task(record)]
    found = learner.method.report().get(name)
    if not isinstance(found, list) or not 0 < len(found) <= len(lessons):
        return None
    value_of = {record.task: value for record, value in zip(lessons, found, strict=False) if record.epochs}
    return [value_of.get(record.task) for record in learner.history]


def counted(count: int, one: str, many: str) -> str:
    """Return "1 class" or "1,200 classes"."""
    return f"{count:,} {one if count == 1 else many}"


def _named(classes: Sequence[str]) -> str:
    more = f" +{len(classes) - NAMED}" if len(classes) > NAMED else ""
    return printable(", ".join(classes[:NAMED]) + more)


def _percent(fraction: float | None) -> str:
    return DASH if fraction is None else f"{100 * fraction:.1f} %"


def _aligned(rows: Sequence[dict[str, str]]) -> list[str]:
    widths = {name: max(cell_len(row[name]) for row in rows) for name in rows[0]}
    lines = []
    for row in rows:
        cells = []
        for name, text in row.items():
            space = " " * (widths[name] - cell_len(text))
            cells.append(text + space if name in WORDS else space + text)
        lines.append("  ".join(cells).rstrip())
    return lines
