"""Rows of the metric log. Between two identical runs only values whose key ends in ``seconds`` may differ."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from sdlora.engine.progress import Progress


def epoch_row(at: Progress, *, lr: float) -> dict[str, Any]:
    """Describe an epoch all of whose steps are done: mean loss over its images, and the last learning rate."""
    terms = {name: float(total) / at.images for name, total in at.sums.items()}
    return {
        "event": "epoch",
        "task": at.task,
        "epoch": at.epoch,
        "step": (at.epoch + 1) * at.step,
        "loss": sum(terms.values()),
        "terms": terms,
        "lr": lr,
        "images": at.images,
        "seconds": at.clock.restart("epoch"),
    }


def task_row(at: Progress, *, stored_parameters: int, report: Mapping[str, float | list[float]]) -> dict[str, Any]:
    """Describe a task that was learned and measured: the newest row of the matrix as fractions."""
    accuracy = [
        None if total is None or hits is None else hits / total
        for hits, total in zip(at.hits[-1], at.totals[-1], strict=True)
    ]
    return {
        "event": "task",
        "task": at.task,
        "accuracy": accuracy,
        "seconds": at.clock.restart("task"),
        "trained_parameters": at.trained_parameters,
        "stored_parameters": stored_parameters,
        "method": {name: _finite(value) for name, value in report.items()},
    }


def end_row(at: Progress) -> dict[str, Any]:
    """Describe a run all of whose tasks are done."""
    return {"event": "end", "tasks": at.task, "seconds": at.clock.read()["run"]}


def _finite(value: float | list[float]) -> float | list[float | None] | None:
    """JSON has no NaN and no infinity; null says that there is no number."""
    if isinstance(value, list):
        return [number if math.isfinite(number) else None for number in value]
    return value if math.isfinite(value) else None
