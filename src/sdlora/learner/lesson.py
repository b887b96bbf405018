"""Teaching one task to a method, in memory: the algorithm of `sdlora.engine.fit` without a run folder.

The same hooks in the same order on the same random numbers; so a learner that is taught the tasks of a stream has the
bits of a run over that stream. What a lesson has besides is a time limit.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from accelerate import Accelerator
from torch import Tensor

from sdlora.engine import FitOptions, Observer, StepReport
from sdlora.engine.checkpoint import check_weights
from sdlora.engine.guard import check_loss
from sdlora.engine.progress import Progress
from sdlora.engine.rows import epoch_row
from sdlora.engine.seeding import seeded
from sdlora.engine.signals import Watched
from sdlora.engine.trainer import Trainer
from sdlora.learner.glimpse import Glimpse
from sdlora.learner.observer import LessonObserver
from sdlora.learner.pace import Pace
from sdlora.methods import Method
from sdlora.methods.linear_classifier import LinearClassifier
from sdlora.streams import PlainBatches, TaskSplit, TrainBatches
from sdlora.task import Task, TaskData

TICK = 1e-3  # seconds; a coarse clock may see no time pass


@dataclass
class Lesson:
    """One task on its way into a method.

    Attributes:
        method: Has learned all earlier tasks; it is changed.
        task: What to learn.
        split: Its training images.
        held_out: Images to measure with now and then, if somebody watches.
        options: How to train.
        accelerator: Gives device and precision.
        observer: Hears of every step.
        watch: Called before every batch; may raise.
        deadline: When training has to be over, by `time.monotonic`; None for no limit.
        later: What the tests after training take, seconds.
    """

    method: Method
    task: Task
    split: TaskSplit
    held_out: TaskSplit
    options: FitOptions
    accelerator: Accelerator
    observer: Observer
    watch: Callable[[], None]
    deadline: float | None = None
    later: float = 0.0
    _at: Progress = field(default_factory=Progress)
    _pace: Pace = field(init=False)

    def teach(self) -> int:
        """Do it, and return how many epochs were begun.

        Raises:
            NumericalError: If training diverges.
        """
        method, seed, index = self.method, self.options.seed, self.task.index
        with seeded(seed, index, "begin_task"):
            method.begin_task(self.task)
        method.to(self.accelerator.device)
        with seeded(seed, index, "prepare"):
            method.prepare(self._data())
        epochs = self._train()
        with seeded(seed, index, "end_task"):
            method.end_task(self._data())
        check_weights(method)
        method.eval()
        return epochs

    def refresh(self, split: TaskSplit) -> None:
        """Add images of known classes to what the head keeps of them.

        Args:
            split: Labelled with class ids of earlier tasks.
        """
        method = self.method
        assert isinstance(method, LinearClassifier)  # `sdlora.learner.limits.check_able` has seen to it
        method.to(self.accelerator.device).eval()
        with seeded(self.options.seed, self.task.index, "refresh"):
            method.refresh(self._data(split))
        check_weights(method)

    def _train(self) -> int:
        method, options, at = self.method, self.options, self._at
        num_epochs = options.epochs if method.num_epochs is None else method.num_epochs
        with seeded(options.seed, self.task.index, "param_groups"):
            groups = method.param_groups()
        if num_epochs == 0 or not any(group["params"] for group in groups):
            return 0
        num_steps = len(self._batches(0))
        trainer = Trainer(method, self.task, groups, options, self.accelerator, num_steps, num_epochs)
        glimpse = Glimpse(method, self.held_out, self.observer, self.accelerator.device, self.watch)
        self._pace = Pace()
        self.observer.on_start(at)
        method.train()
        while at.epoch < trainer.num_epochs:
            started = time.monotonic()
            self._epoch(trainer)
            if at.epoch < trainer.num_epochs:
                glimpse.take()
            if self.deadline is not None:
                taken = max(time.monotonic() - started, TICK)
                more = int((self.deadline - time.monotonic()) / taken)
                trainer.num_epochs = min(trainer.num_epochs, at.epoch + max(0, more))
        return at.epoch

    def _epoch(self, trainer: Trainer) -> None:
        at = self._at
        for images, labels in self._batches(at.epoch):
            self.watch()
            terms = trainer.step(images, labels, at.epoch, at.step)
            at.add(terms, len(labels))
            self._report(trainer, terms)
            if self.deadline is not None and time.monotonic() > self.deadline:
                break
        trainer.guard.settle()
        row = epoch_row(at, lr=trainer.lr(at.epoch, trainer.num_steps - 1))
        check_loss(row["loss"], f"epoch {at.epoch + 1}, at a learning rate of {row['lr']:g}")
        at.next_epoch()
        self.observer.on_epoch(row)

    def _report(self, trainer: Trainer, terms: dict[str, Tensor]) -> None:
        at, size = self._at, len(self.split)
        loss = torch.stack([term.detach() for term in terms.values()]).sum()
        self._estimate(trainer, self._pace.step(loss))
        self.observer.on_step(
            StepReport(
                task=0,
                num_tasks=1,
                epoch=at.epoch,
                num_epochs=trainer.num_epochs,
                step=at.step,
                num_steps=trainer.num_steps,
                done_images=size * at.epoch + at.images,
                total_images=size * trainer.num_epochs,
                lr=trainer.lr(at.epoch, at.step - 1),
                loss=loss,
            )
        )

    def _estimate(self, trainer: Trainer, step_seconds: float | None) -> None:
        if step_seconds is None or not isinstance(self.observer, LessonObserver):
            return
        left = trainer.num_steps * (trainer.num_epochs - self._at.epoch) - self._at.step
        seconds = left * step_seconds
        if self.deadline is not None:
            seconds = min(seconds, max(0.0, self.deadline - time.monotonic()))
        self.observer.on_estimate(seconds + self.later)

    def _batches(self, epoch: int, split: TaskSplit | None = None) -> TrainBatches:
        return TrainBatches(
            self.split if split is None else split,
            self.options.batch_size,
            self.options.seed,
            self.task.index,
            epoch,
            self.split.augment,
            self.method.backbone.image_size,
            self.accelerator.device,
        )

    def _data(self, split: TaskSplit | None = None) -> TaskData:
        train = self._batches(0, split)
        plain = PlainBatches(train.split, self.options.eval_batch_size, train.image_size, train.device)
        return TaskData(Watched(train, self.watch), Watched(plain, self.watch), self.accelerator.autocast)
