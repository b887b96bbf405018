"""A lesson from data to a new state: plan, measure, teach, measure again, and write down what happened."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sdlora.bundle import BackboneSource, Description, MethodSource, Preprocessing, Retest, TaskRecord
from sdlora.engine import Observer
from sdlora.engine.checkpoint import stored_state
from sdlora.engine.device import open_accelerator
from sdlora.errors import ConfigError, DataError
from sdlora.files import digest, tensor_bytes
from sdlora.learner.data import LabelledImages, opened
from sdlora.learner.defaults import default_epochs, lesson_options
from sdlora.learner.imprint import imprint, needs_imprint, refresh
from sdlora.learner.lesson import Lesson
from sdlora.learner.measure import answers, features, weakest
from sdlora.learner.observer import LessonObserver, LessonPlan
from sdlora.learner.plan import Plan, plan_lesson
from sdlora.learner.state import State, begins_task, copy_method
from sdlora.methods import Method
from sdlora.streams import TaskSplit
from sdlora.task import Task

if TYPE_CHECKING:
    from sdlora.learner.learner import Learner

MARGIN = 0.05  # of the time limit, for what follows training
WARM_UP = 64  # images whose test is timed, to know how long the tests after training will take


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What was asked for; the arguments of `sdlora.Learner.learn`."""

    epochs: int | None
    time_limit: float | None
    holdout: float
    retest: tuple[Any, ...]
    update: bool
    skip_known: bool
    skip_unreadable: bool
    observer: Observer
    should_stop: Callable[[], bool]

    def __post_init__(self) -> None:
        if self.epochs is not None and self.epochs < 1:
            raise ConfigError(f"epochs = {self.epochs}", expected="at least 1")
        if self.time_limit is not None and not self.time_limit > 0:
            raise ConfigError(f"time_limit = {self.time_limit}", expected="seconds, above 0")

    def watch(self) -> None:
        """Raise KeyboardInterrupt if the caller wants to stop."""
        if self.should_stop():
            raise KeyboardInterrupt


@dataclass(frozen=True)
class Exam:
    """Images of earlier classes, before and after.

    Attributes:
        name: What the data are called.
        split: The images.
        before: What the model said of them before the lesson.
    """

    name: str
    split: TaskSplit
    before: float

    def again(self, method: Method, device: torch.device) -> Retest:
        """Return the accuracies before and now."""
        after = float((answers(method, self.split, device) == self.split.labels).mean())
        num_classes = len(np.unique(self.split.labels))
        return Retest(name=self.name, classes=num_classes, num_images=len(self.split), before=self.before, after=after)


def teach(learner: Learner, data: Any, wishes: Wishes) -> State:
    """Return what the learner would be after a lesson; the learner itself does not change."""
    started = time.monotonic()
    shorter_side = learner.augment.shorter_side(learner.image_size)
    with ExitStack() as stack:
        images = stack.enter_context(opened(data, shorter_side, skip_unreadable=wishes.skip_unreadable))
        plan = plan_lesson(
            images,
            learner.classes,
            learner.augment,
            holdout=wishes.holdout,
            update=wishes.update,
            skip_known=wishes.skip_known,
        )
        if isinstance(wishes.observer, LessonObserver):
            wishes.observer.on_plan(_told(learner, plan, images))
        tests = [stack.enter_context(opened(folder, shorter_side)) for folder in wishes.retest]
        exams = [_exam(learner, test) for test in tests]
        method = copy_method(learner.method)
        epochs = _learn(learner, method, plan, wishes, _deadline(learner, plan, exams, wishes, started))
        wishes.watch()
        return _graduate(learner, method, plan, images, exams, epochs, started)


def _told(learner: Learner, plan: Plan, images: LabelledImages) -> LessonPlan:
    return LessonPlan(
        task=learner.num_tasks + 1,
        new=plan.new,
        updated=plan.known,
        num_images=plan.num_images,
        num_held_out=len(plan.held_out),
        skipped=images.skipped,
        notes=images.notes,
    )


def _learn(learner: Learner, method: Method, plan: Plan, wishes: Wishes, deadline: float | None) -> int:
    """Change the method, and return the number of epochs."""
    epochs = 0
    if needs_imprint(method, len(plan.new)):
        imprint(method, plan.train, learner.device)
    elif plan.new:
        epochs = _train(learner, method, plan, wishes, deadline)
    if plan.known:
        refresh(method, plan.refresh, learner.device)
    return epochs


def _train(learner: Learner, method: Method, plan: Plan, wishes: Wishes, deadline: float | None) -> int:
    options = lesson_options(learner.backbone.name, learner.method_name, seed=learner.seed, device=str(learner.device))
    epochs = wishes.epochs or default_epochs(len(plan.train), options.batch_size)
    index = sum(begins_task(record) for record in learner.history)
    with open_accelerator(options) as accelerator:
        lesson = Lesson(
            method=method,
            task=Task(index, plan.new, learner.num_seen),
            split=plan.train,
            options=replace(options, epochs=epochs),
            accelerator=accelerator,
            observer=wishes.observer,
            watch=wishes.watch,
            deadline=deadline,
        )
        return lesson.teach()


def _exam(learner: Learner, data: LabelledImages) -> Exam:
    """Let the model as it is sit the exam.

    Raises:
        DataError: If the data show a class that is not known yet.
    """
    known = learner.classes
    if unknown := [name for name in data.classes if name not in known]:
        raise DataError(
            f"{data.name} shows classes that are not known before this lesson: {', '.join(unknown[:10])}",
            expected="images of earlier classes alone",
        )
    rows = data.for_testing()
    labels = np.array([known.index(name) for name in data.classes], dtype=np.int64)[data.labels[rows]]
    split = TaskSplit(data.images, rows, labels, learner.augment)
    said = answers(learner.method, split, learner.device)
    return Exam(data.name, split, float((said == labels).mean()))


def _deadline(learner: Learner, plan: Plan, exams: Sequence[Exam], wishes: Wishes, started: float) -> float | None:
    """Return when training must be over so that what follows it ends in time too."""
    if wishes.time_limit is None or not len(plan.train):
        return None
    trial = replace(plan.train, ids=plan.train.ids[:WARM_UP], labels=plan.train.labels[:WARM_UP])
    begun = time.monotonic()
    features(learner.method, trial, learner.device)
    each = (time.monotonic() - begun) / len(trial)
    later = len(plan.held_out) + len(plan.train) + sum(len(exam.split) for exam in exams)
    return started + wishes.time_limit * (1 - MARGIN) - each * later


def _graduate(
    learner: Learner,
    method: Method,
    plan: Plan,
    images: LabelledImages,
    exams: Sequence[Exam],
    epochs: int,
    started: float,
) -> State:
    """Measure what was learned and return the new state."""
    classes = (*learner.classes, *plan.new)
    said = answers(method, plan.held_out, learner.device)
    labels = plan.held_out.labels
    record = TaskRecord(
        task=learner.num_tasks + 1,
        classes=plan.new,
        updated=plan.known,
        num_images=plan.num_images,
        num_held_out=len(plan.held_out),
        held_out_accuracy=float((said == labels).mean()) if len(labels) else None,
        weakest=weakest(labels, said, classes) if len(labels) else None,
        retests=tuple(exam.again(method, learner.device) for exam in exams),
        skipped=len(images.skipped),
        epochs=epochs,
        is_imprinted=needs_imprint(method, len(plan.new)),
        date=datetime.now(UTC).date().isoformat(),
        weights=digest(tensor_bytes(stored_state(method))),
        seconds=round(time.monotonic() - started, 3),
    )
    return State.of(method, _description(learner, record))


def _description(learner: Learner, record: TaskRecord) -> Description:
    backbone, augment = learner.backbone, learner.augment
    mean, std = backbone.statistics()
    return Description(
        seed=learner.seed,
        backbone=BackboneSource(name=backbone.name, sha256=backbone.sha256),
        method=MethodSource(name=learner.method_name, options=learner.method_options),
        preprocessing=Preprocessing(
            image_size=learner.image_size,
            test_crop=augment.test_crop,
            crop_scale=augment.crop_scale,
            crop_ratio=augment.crop_ratio,
            flip=augment.flip,
            mean=mean,
            std=std,
        ),
        tasks=(*learner.history, record),
    )
