"""A lesson from data to a new state: plan, measure, teach, measure again, and write down what happened."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import torch

from sdlora.bundle import Description, MethodSource, TaskRecord
from sdlora.engine.checkpoint import stored_state
from sdlora.engine.device import open_accelerator
from sdlora.files import digest, tensor_bytes
from sdlora.heads.discriminant import DiscriminantHead
from sdlora.learner.comparison import compared
from sdlora.learner.data import LabelledImages, opened
from sdlora.learner.defaults import default_epochs, lesson_options
from sdlora.learner.describe import describe
from sdlora.learner.exam import Exam
from sdlora.learner.lesson import Lesson
from sdlora.learner.limits import check_able
from sdlora.learner.measure import features, weakest
from sdlora.learner.observer import LessonObserver, LessonPlan
from sdlora.learner.plan import Plan, plan_lesson
from sdlora.learner.state import State, begins_task, copy_method
from sdlora.learner.wishes import Wishes
from sdlora.methods import Method
from sdlora.methods.linear_classifier import LinearClassifier
from sdlora.streams import TaskSplit
from sdlora.task import Task

if TYPE_CHECKING:
    from sdlora.learner.learner import Learner

FACTORISATIONS = 10  # of the covariance, which a discriminant takes the time of
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
        check_able(learner.method, len(plan.new), len(plan.known))
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
    options = lesson_options(learner.backbone.name, learner.method_name, seed=learner.seed, device=str(learner.device))
    task = Task(sum(begins_task(record) for record in learner.history), plan.new, learner.num_seen)
    later, deadline, epochs = 0.0, None, 0
    if plan.new and _may_train(method, task):
        later = _seconds_later(learner, plan, exams)
        if wishes.time_limit is not None:
            deadline = started + wishes.time_limit * (1 - MARGIN) - later
    with open_accelerator(options) as accelerator:
        lesson = Lesson(
            method=method,
            task=task,
            split=plan.train,
            held_out=plan.held_out,
            options=replace(options, epochs=wishes.epochs or default_epochs(len(plan.train), options.batch_size)),
            accelerator=accelerator,
            observer=wishes.observer,
            watch=wishes.watch,
            deadline=deadline,
            later=later,
        )
        if plan.new:
            epochs = lesson.teach()
        if plan.known:
            lesson.refresh(plan.refresh)
    return epochs


def _may_train(method: Method, task: Task) -> bool:
    """Whether a lesson may take steps, so that how long it takes is worth knowing beforehand."""
    if isinstance(method, LinearClassifier):
        return method.adapts_to(task)
    return method.num_epochs != 0


def _seconds_later(learner: Learner, plan: Plan, exams: Sequence[Exam]) -> float:
    """Return how long it takes to see the images that are looked at after training, from timing a few."""
    if not len(plan.train):
        return 0.0
    once = _seconds_to_see(learner, plan.train, 1)  # pays for what is set up once, too
    few = min(len(plan.train), MOST_TIMED, max(1, int(TIMING / max(once, TICK))))
    each = _seconds_to_see(learner, plan.train, few) / few
    images = len(plan.held_out) + len(plan.train) + sum(len(exam.split) for exam in exams)
    return each * images + _seconds_to_solve(learner.method)


def _seconds_to_solve(method: Method) -> float:
    """Return about how long it takes to solve a discriminant once its images were seen, from one factorisation."""
    head = method.solved_head if isinstance(method, LinearClassifier) else None
    if not isinstance(head, DiscriminantHead):
        return 0.0
    width, begun = head.within.shape[0], time.monotonic()
    torch.linalg.cholesky(torch.eye(width, dtype=torch.float64, device=head.within.device))
    return FACTORISATIONS * (time.monotonic() - begun)


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
    said, comparison = compared(learner.method, method, plan, learner.device, has_trained=epochs > 0)
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
        chance=1 / len(classes) if len(labels) else None,
        comparison=comparison,
        retests=tuple(exam.again(method, learner.device) for exam in exams),
        skipped=len(images.skipped),
        epochs=epochs,
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
