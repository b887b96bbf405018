"""The model of a finished run, so that what a researcher trained can be asked, taught further, exported and served."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from sdlora.bundle import BackboneSource, MethodSource, Retest, TaskRecord, is_bundle
from sdlora.bundle.names import bad_class_name
from sdlora.config.build import Experiment
from sdlora.engine import RunResult, load_method
from sdlora.engine.checkpoint import stored_state
from sdlora.engine.metric_log import read_rows
from sdlora.files import digest, json_bytes, tensor_bytes
from sdlora.learner.describe import describe
from sdlora.learner.own_backbone import OwnBackbone
from sdlora.learner.state import State, is_named
from sdlora.learner.storage import store
from sdlora.streams import Stream

FOLDER = "model"


def keep_model(experiment: Experiment, seed: int, result: RunResult) -> Path | None:
    """Write the bundle ``model/`` into the folder of a finished run, unless it is there.

    Its lessons are the tasks; what was held out of each are the test images of its classes.

    Args:
        experiment: What was trained.
        seed: Of the run.
        result: How it ended.

    Returns:
        The bundle; None of a method that learns everything at once, which no lesson could follow, and where a class
        bears a name that none may have in a model.

    Raises:
        StorageError: If it cannot be written.
    """
    path, recipe = result.folder / FOLDER, experiment.recipe
    if is_bundle(path):
        return path
    stream = experiment.stream(seed)
    method = load_method(experiment.method, stream, result.folder)
    if method.joint or any(map(bad_class_name, stream.classes)):
        return None
    backbone = experiment.backbone
    may_differ = bool(recipe.backbone.options.model_dump())  # from what its name alone leads to
    own = OwnBackbone(backbone) if may_differ and not is_named(backbone) else None
    description = describe(
        backbone,
        stream.augment,
        source=BackboneSource(name=backbone.name, sha256=backbone.sha256) if own is None else own.source,
        method=MethodSource(name=recipe.method.name, options=recipe.method.model_dump(exclude={"name"})),
        seed=seed,
        tasks=_lessons(stream, result, digest(tensor_bytes(stored_state(method)))),
    )
    store(path, State(method, description, predictor=method), None, None, own)
    return path


def _lessons(stream: Stream, result: RunResult, weights: str) -> tuple[TaskRecord, ...]:
    """Return a lesson for each task; the last one's weights are known, those before stand for where they come from."""
    rows = read_rows(result.folder / "metrics.jsonl")
    today = datetime.now(UTC).date().isoformat()
    last = len(stream.tasks) - 1
    return tuple(
        TaskRecord(
            task=index + 1,
            classes=task.classes,
            source=stream.name,
            num_images=len(stream.train(index)) + len(stream.test(index)),
            num_held_out=len(stream.test(index)),
            held_out_accuracy=_accuracy(result, index, [index]),
            retests=_retests(stream, result, index),
            epochs=sum(row["event"] == "epoch" and row["task"] == index for row in rows),
            seconds=next(row["seconds"] for row in rows if row["event"] == "task" and row["task"] == index),
            date=today,
            weights=weights if index == last else digest(json_bytes([weights, index])),
        )
        for index, task in enumerate(stream.tasks)
    )


def _retests(stream: Stream, result: RunResult, index: int) -> tuple[Retest, ...]:
    """Return what the test images of all earlier tasks said before a task and after it."""
    earlier = list(range(index))
    if not earlier:
        return ()
    return (
        Retest(
            name=f"{stream.name} test",
            classes=stream.tasks[index].class_offset,
            tasks=tuple(task + 1 for task in earlier),
            num_images=sum(len(stream.test(task)) for task in earlier),
            before=_accuracy(result, index - 1, earlier),
            after=_accuracy(result, index, earlier),
        ),
    )


def _accuracy(result: RunResult, after: int, groups: list[int]) -> float:
    """Return the accuracy after a task on some groups together, a fraction."""
    hits, totals = ([row[group] or 0 for group in groups] for row in (result.hits[after], result.totals[after]))
    return sum(hits) / sum(totals)
