"""One session of a run: its parts, where it is, and how it is stored and found again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import AbstractContextManager

import torch
from accelerate import Accelerator
from torch import Tensor

from sdlora.engine.checkpoint import check_weights, load_state, stored_state
from sdlora.engine.options import FitOptions
from sdlora.engine.progress import Observer, Progress, StepReport
from sdlora.engine.run_folder import RunFolder
from sdlora.engine.seeding import seeded
from sdlora.engine.signals import StopError, StopSignals, Watched
from sdlora.engine.trainer import Trainer
from sdlora.methods.base import Method
from sdlora.streams import PlainBatches, Stream, TrainBatches
from sdlora.task import Task, TaskData


class Session:
    """From one start of a run to its end or to the next signal.

    Args:
        method: Just constructed.
        stream: What it learns.
        options: How it is trained.
        accelerator: Gives device and precision.
        folder: The run folder, locked.
        observer: Hears of progress.
        signals: Tell when to stop.

    Attributes:
        at: Where the run is.
        num_epochs: Passes over each task.
    """

    def __init__(
        self,
        method: Method,
        stream: Stream,
        options: FitOptions,
        accelerator: Accelerator,
        folder: RunFolder,
        observer: Observer,
        signals: StopSignals,
    ) -> None:
        self.method, self.stream, self.options = method.to(accelerator.device), stream, options
        self.accelerator, self.folder, self.observer, self.signals = accelerator, folder, observer, signals
        self.num_epochs = options.epochs if method.num_epochs is None else method.num_epochs
        self.at = Progress()
        self._trainer: Trainer | None = None
        self._optimizer_state: dict[str, Tensor] = {}  # of the checkpoint, until a trainer takes it
        self._task_sizes = [len(stream.train(position)) for position in range(len(stream.tasks))]
        self._saved = time.monotonic()

    def restore(self) -> Progress:
        """Go to the newest checkpoint; where there is none, make the first."""
        if checkpoint := self.folder.restore():
            self.at = checkpoint.progress
            self.at.sums = {name: value.to(self.accelerator.device) for name, value in self.at.sums.items()}
            for task in self.stream.tasks[: self.at.num_begun]:
                self.begin_task(task)
            load_state(self.method, checkpoint.part("method"))
            self._optimizer_state = checkpoint.part("optimizer")
        else:
            self.save()
        self.folder.open(self.at)
        self.observer.on_start(self.at)
        return self.at

    def save(self) -> None:
        """Make a checkpoint, unless training has diverged."""
        if self._trainer is not None:
            self._trainer.guard.settle()
        check_weights(self.method)
        parts = {
            "method": stored_state(self.method),
            "optimizer": self._trainer.state() if self._trainer is not None else {},
            "sums": self.at.sums,
        }
        tensors = {f"{part}.{name}": value for part, values in parts.items() for name, value in values.items()}
        self.folder.save(self.at, tensors)
        self._saved = time.monotonic()

    def save_if_due(self) -> None:
        """Make a checkpoint if the last one is old enough."""
        if time.monotonic() - self._saved >= self.options.checkpoint_seconds:
            self.save()

    def pause(self, *, save: bool = True) -> None:
        """Stop here if a signal came; without `save`, where the newest checkpoint is as good."""
        if self.signals.received is not None:
            if save:
                self.save()
            raise StopError

    def attach(self, trainer: Trainer) -> None:
        """Store this trainer's state from now on; it goes on from what the checkpoint held."""
        trainer.load(self._optimizer_state)
        self._trainer, self._optimizer_state = trainer, {}
        self.at.trained_parameters = trainer.num_parameters

    def detach(self) -> None:
        """The task's training is over: its optimiser is not needed any more."""
        self._trainer = None

    def begin_task(self, task: Task) -> None:
        """Call the hook, the first time or to replay it, and move what it made to the device."""
        with self.seeded(task, "begin_task"):
            self.method.begin_task(task)
        self.method.to(self.accelerator.device)

    def seeded(self, task: Task, hook: str) -> AbstractContextManager[None]:
        """Return the context in which a hook of a task runs."""
        return seeded(self.options.seed, task.index, hook)

    def batches(self, task: Task, epoch: int) -> TrainBatches:
        """Return the training batches of the task the run is at."""
        split = self.stream.train(self.at.task)
        return TrainBatches(
            split,
            self.options.batch_size,
            self.options.seed,
            task.index,
            epoch,
            split.augment,
            self.method.backbone.image_size,
            self.accelerator.device,
        )

    def data(self, task: Task) -> TaskData:
        """Return what `prepare` and `end_task` may see; a signal ends them, and the next session repeats them."""
        train = self.batches(task, epoch=0)
        plain = PlainBatches(train.split, self.options.eval_batch_size, train.image_size, train.device)

        def stop() -> None:
            self.pause(save=False)

        return TaskData(Watched(train, stop), Watched(plain, stop), self.accelerator.autocast)

    def report_step(self, terms: Mapping[str, Tensor]) -> None:
        """Tell the observer of the step just taken."""
        assert self._trainer is not None
        at, sizes = self.at, self._task_sizes
        report = StepReport(
            task=at.task,
            num_tasks=len(sizes),
            epoch=at.epoch,
            num_epochs=self.num_epochs,
            step=at.step,
            num_steps=self._trainer.num_steps,
            done_images=sum(sizes[: at.task]) * self.num_epochs + sizes[at.task] * at.epoch + at.images,
            total_images=sum(sizes) * self.num_epochs,
            lr=self._trainer.lr(at.epoch, at.step - 1),
            loss=torch.stack([term.detach() for term in terms.values()]).sum(),
        )
        self.observer.on_step(report)
