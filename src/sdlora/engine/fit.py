"""The algorithm: for every task of a stream begin, prepare, train for some epochs, end, and measure.

    for task in stream:
        method.begin_task(task);  method.prepare(data)
        for epoch:  for images, labels in batches:  minimise the sum of method.losses(images, labels)
        method.end_task(data);  test every group seen so far

Every hook runs on generators seeded from what it is for, and every batch is a function of (seed, task, epoch, step). So
a run has no state besides what a checkpoint holds, and goes on from any step as if it had never stopped: construct the
method, replay ``begin_task`` for the tasks begun, load.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from sdlora.engine.checkpoint import stored_state
from sdlora.engine.costing import measure_cost
from sdlora.engine.device import open_accelerator
from sdlora.engine.evaluate import evaluate
from sdlora.engine.guard import check_loss
from sdlora.engine.manifest import describe
from sdlora.engine.options import FitOptions
from sdlora.engine.progress import Observer
from sdlora.engine.rows import epoch_row, task_row
from sdlora.engine.run_folder import RunFolder, RunResult
from sdlora.engine.seeding import seeded
from sdlora.engine.session import Session
from sdlora.engine.signals import StopError, StopSignals
from sdlora.engine.space import check_space
from sdlora.engine.task_weights import save_task_weights
from sdlora.engine.trainer import Trainer
from sdlora.methods.base import Method
from sdlora.streams import Stream
from sdlora.task import Task


def fit(
    make_method: Callable[[], Method],
    stream: Stream,
    options: FitOptions,
    folder: Path,
    *,
    recipe: Mapping[str, Any],
    recipe_text: str = "",
    observer: Observer | None = None,
) -> RunResult:
    """Teach a method a stream and leave everything about it in a folder.

    The same call goes on where an earlier one was stopped or killed, with the same bits as one never interrupted; once
    the run is finished it returns at once and changes nothing.

    Args:
        make_method: Builds the method; all its random numbers may come from torch's global generator.
        stream: What to learn; a method with ``joint`` gets all of it as one task.
        options: How to train.
        folder: The run folder, created when missing.
        recipe: All choices that made the other arguments, as JSON; a folder made with others is refused.
        recipe_text: The same as TOML, kept as ``recipe.toml``.
        observer: Hears of progress.

    Raises:
        ConfigError: If device or precision are not available.
        DataError: If an image cannot be read.
        RunError: If the folder belongs to another run, or cannot be continued.
        BusyError: If another process is training in the folder.
        StorageError: If a file cannot be written, or the disk has too little room for the run.
        NumericalError: If a loss, gradient or weight is not finite or has diverged.
    """
    observer = observer or Observer()
    with open_accelerator(options) as accelerator:
        with seeded(options.seed, "method"):
            method = make_method()
        if method.joint:
            stream = stream.joined()
        description = describe(method, stream, options, accelerator, recipe)
        run = RunFolder(folder, description, recipe_text, observer)
        if result := run.finished():
            return result
        with run.lock(), StopSignals() as signals:
            check_space(method, stream, options, folder)
            return _teach(Session(method, stream, options, accelerator, run, observer, signals), make_method)


def _teach(session: Session, make_method: Callable[[], Method]) -> RunResult:
    """Do what is left of the stream."""
    at = session.restore()
    try:
        for task in session.stream.tasks[at.task :]:
            if at.phase == "begin":
                _begin(session, task)
            if at.phase == "train":
                _train(session, task)
                _end(session, task)
            _measure(session, task)
    except StopError:
        return session.folder.stop(at, session.signals.received)
    session.folder.write_cost(measure_cost(session, make_method))
    return session.folder.finish(at)


def _begin(session: Session, task: Task) -> None:
    session.pause(save=False)
    session.at.clock.restart("task")
    session.begin_task(task)
    with session.seeded(task, "prepare"):
        session.method.prepare(session.data(task))
    session.at.phase = "train"
    session.at.clock.restart("epoch")
    session.pause()


def _train(session: Session, task: Task) -> None:
    method, at = session.method, session.at
    with session.seeded(task, "param_groups"):
        groups = method.param_groups()
    if session.num_epochs == 0 or not any(group["params"] for group in groups):
        return  # a method without training, or with none in this task
    num_steps = len(session.batches(task, epoch=0))
    trainer = Trainer(method, task, groups, session.options, session.accelerator, num_steps, session.num_epochs)
    session.attach(trainer)
    method.train()
    while at.epoch < session.num_epochs:
        for images, labels in session.batches(task, at.epoch).from_step(at.step):
            terms = trainer.step(images, labels, at.epoch, at.step)
            at.add(terms, len(labels))
            session.report_step(terms)
            session.pause()
        trainer.guard.settle()
        row = epoch_row(at, lr=trainer.lr(at.epoch, num_steps - 1))
        check_loss(row["loss"], f"task {at.task + 1}, epoch {at.epoch + 1}, at a learning rate of {row['lr']:g}")
        session.folder.log.append(row)
        at.next_epoch()
        session.observer.on_epoch(row)
        session.save_if_due()
    session.detach()


def _end(session: Session, task: Task) -> None:
    with session.seeded(task, "end_task"):
        session.method.end_task(session.data(task))
    session.at.phase = "evaluate"
    session.pause()


def _measure(session: Session, task: Task) -> None:
    method, at = session.method, session.at
    is_last = task is session.stream.tasks[-1]
    confusion = torch.zeros(task.num_seen, task.num_seen, dtype=torch.int64, device=session.accelerator.device)
    try:
        with session.seeded(task, "forward"):
            hits, totals = evaluate(
                method,
                session.stream,
                session.accelerator,
                num_seen=task.num_seen,
                batch_size=session.options.eval_batch_size,
                confusion=confusion if is_last else None,
                on_batch=lambda: session.pause(save=False),
            )
    except StopError:
        session.save()  # not earlier: while it is measured the method is merged
        raise
    at.hits.append(hits)
    at.totals.append(totals)
    with session.seeded(task, "report"):
        report = method.report()
    stored = sum(value.numel() for value in stored_state(method).values())
    if is_last:
        session.folder.write_confusion(confusion.tolist())
    row = task_row(at, stored_parameters=stored, report=report)
    session.folder.log.append(row)
    if session.options.keep_task_weights:
        save_task_weights(session.folder.path, method, at.task + 1)
    at.next_task()
    session.save()
    session.folder.write_matrix(at)
    session.observer.on_task(row)
