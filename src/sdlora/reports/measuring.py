"""Measuring what a method costs after the fact, for runs that do not tell; nothing is trained on data again."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

from sdlora.backbones.blank import blank_vit
from sdlora.backbones.vit import SHIPPED, UNTRAINED, Backbone, load_backbone
from sdlora.costs import measure, teach_made_up
from sdlora.engine.metric_log import read_rows
from sdlora.engine.seeding import seeded
from sdlora.files import write_json
from sdlora.methods import METHODS
from sdlora.reports.comparison import Entry
from sdlora.reports.runs import Run
from sdlora.task import Task


def measure_entry(entry: Entry) -> Path:
    """Write ``cost.json`` into the folder of an entry's first run and return its path.

    The method learns made-up pictures in tasks of the same sizes, on a backbone of the same shape, on the CPU. Its
    figures are those of the run, but for times, and for state whose size would depend on the data.

    Raises:
        ConfigError: If this installation does not know the method or the backbone.
        StorageError: If the file cannot be written.
    """
    run = entry.runs[0]
    path = run.path / "cost.json"
    write_json(path, {"format": 1, **_cost(run)})
    return path


def _cost(run: Run) -> dict[str, Any]:
    kind, plain = METHODS.get(run.method), _backbone(run)
    with seeded(run.seed, "cost"):
        method = kind(copy.deepcopy(plain), **run.manifest.method.options)
        images, labels = teach_made_up(method, _tasks(run, joint=kind.joint))
        sample_bytes = 3 * plain.image_size**2 * _images(run) if kind.joint else 0
        cost = measure(method, plain, images, labels, sample_bytes=sample_bytes)
    return cost.to_json() | {"measured_on": "made-up pictures"}


def _backbone(run: Run) -> Backbone:
    """Return a backbone of the shape of the run's; only the small ones have its weights."""
    name = run.manifest.backbone.name
    if name in (SHIPPED, UNTRAINED):
        return load_backbone(name, **run.manifest.recipe.get("backbone", {}).get("options", {}))
    return blank_vit(name)


def _tasks(run: Run, *, joint: bool) -> list[Task]:
    names = run.manifest.stream.tasks
    if joint:
        return [Task(0, tuple(name for task in names for name in task), 0)]
    sizes = run.task_sizes
    return [Task(i, tuple(task), sum(sizes[:i])) for i, task in enumerate(names)]


def _images(run: Run) -> int:
    """Return the training images of an epoch; of a joint run, those of all tasks."""
    rows = read_rows(run.path / "metrics.jsonl")
    return max((int(row["images"]) for row in rows if row["event"] == "epoch"), default=0)
