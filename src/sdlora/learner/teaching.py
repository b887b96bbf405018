"""A lesson from data to a new state: plan, measure, teach, measure again, and write down what happened."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sdlora.bundle import Description, MethodSource, TaskRecord
from sdlora.engine.checkpoint import stored_state
from sdlora.engine.device import open_accelerator
from sdlora.files import digest, tensor_bytes
from sdlora.learner.data import LabelledImages, opened
from sdlora.learner.defaults import default_epochs, lesson_options
from sdlora.learner.describe import describe
from sdlora.learner.exam import Exam
from sdlora.learner.imprint import imprint, needs_imprint, refresh
from sdlora.learner.lesson import Lesson
from sdlora.learner.measure import answers, features, weakest
from sdlora.learner.observer import LessonObserver, LessonPlan
from sdlora.learner.plan import Plan, plan_lesson
from sdlora.learner.state import State, begins_task, copy_method
from sdlora.learner.wishes import Wishes
from sdlora.methods import Method
from sdlora.streams import TaskSplit
from sdlora.task import Task

if TYPE_CHECKING:
    from sdlora.learner.learner import Learner

MARGIN = 0.05  # of the time limit, for what follows training
MOST_TIMED, TIMING = 64, 1.0  # images, and about as many seconds, to know how long the tests after training take
TICK = 1e-3  # seconds; a coarse clock may see no time pass


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
        exams = [Exam.sat_by(learner, test) for test in tests]
        method = copy_method(learner.method)
        epochs = _learn(learner, method, plan, wishes, exams, started)
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


def _learn(learner: Learner, method: Method, plan: Plan, wishes: Wishes, exams: Sequence[Exam], started: float) -> int:
    """Change the method, and return the number of epochs."""
    epochs = 0
    if needs_imprint(method, len(plan.new)):
        imprint(method, plan.train, learner.device)
    elif plan.new:
        later = _seconds_later(learner, plan, exams)
        limit = wishes.time_limit
        deadline = None if limit is None else started + limit * (1 - MARGIN) - later
        epochs = _train(learner, method, plan, wishes, deadline=deadline, later=later)
    if plan.known:
        refresh(method, plan.refresh, learner.device)
    return epochs


def _train(
    learner: Learner, method: Method, plan: Plan, wishes: Wishes, *, deadline: float | None, later: float
) -> int:
    options = lesson_options(learner.backbone.name, learner.method_name, seed=learner.seed, device=str(learner.device))
    epochs = wishes.epochs or default_epochs(len(plan.train), options.batch_size)
    index = sum(begins_task(record) for record in learner.history)
    with open_accelerator(options) as accelerator:
        lesson = Lesson(
            method=method,
            task=Task(index, plan.new, learner.num_seen),
            split=plan.train,
            held_out=plan.held_out,
            options=replace(options, epochs=epochs),
            accelerator=accelerator,
            observer=wishes.observer,
            watch=wishes.watch,
            deadline=deadline,
            later=later,
        )
        return lesson.teach()


def _seconds_later(learner: Learner, plan: Plan, exams: Sequence[Exam]) -> float:
    """Return how long it takes to see the images that are looked at after training, from timing a few."""
    if not len(plan.train):
        return 0.0
    once = _seconds_to_see(learner, plan.train, 1)  # pays for what is set up once, too
    few = min(len(plan.train), MOST_TIMED, max(1, int(TIMING / max(once, TICK))))
    each = _seconds_to_see(learner, plan.train, few) / few
    return each * (len(plan.held_out) + len(plan.train) + sum(len(exam.split) for exam in exams))


def _seconds_to_see(learner: Learner, split: TaskSplit, count: int) -> float:
    begun = time.monotonic()
    features(learner.method, replace(split, ids=split.ids[:count], labels=split.labels[:count]), learner.device)
    return time.monotonic() - begun


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
        source=images.name,
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
    return describe(
        learner.backbone,
        learner.augment,
        source=learner.source,
        method=MethodSource(name=learner.method_name, options=learner.method_options),
        seed=learner.seed,
        tasks=(*learner.history, record),
    )
