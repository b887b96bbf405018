"""Where a run is: what a checkpoint stores besides tensors of the method, and what an observer is told."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from torch import Tensor

Row = list[int | None]


class Clock:
    """Seconds spent on the run, the task and the epoch, over all its sessions.

    Args:
        seconds: What earlier sessions spent.
    """

    def __init__(self, seconds: Mapping[str, float] | None = None) -> None:
        self._seconds = {"run": 0.0, "task": 0.0, "epoch": 0.0} | dict(seconds or {})
        self._last = time.monotonic()

    def read(self) -> dict[str, float]:
        """Return seconds by name."""
        now = time.monotonic()
        self._seconds = {name: value + now - self._last for name, value in self._seconds.items()}
        self._last = now
        return dict(self._seconds)

    def restart(self, name: str) -> float:
        """Begin anew with one of them; return what it had reached."""
        reached = self.read()[name]
        self._seconds[name] = 0.0
        return reached


@dataclass
class Progress:
    """Position and measurements of a run.

    Attributes:
        task: Position in the stream; the number of tasks when all are done.
        phase: ``"begin"`` before ``begin_task``, ``"train"`` after ``prepare``, ``"evaluate"`` after ``end_task``.
        epoch: Epochs done in this task.
        step: Steps done in this epoch.
        images: Images seen in this epoch.
        trained_parameters: Numbers the optimiser trains in this task.
        sums: Loss terms of this epoch, each times its images, summed; scalars on the training device.
        hits: Row i: images of each group that got the right class after task i; None for groups not seen.
        totals: Likewise, images of each group.
        clock: Times.
    """

    task: int = 0
    phase: Literal["begin", "train", "evaluate"] = "begin"
    epoch: int = 0
    step: int = 0
    images: int = 0
    trained_parameters: int = 0
    sums: dict[str, Tensor] = field(default_factory=dict)
    hits: list[Row] = field(default_factory=list)
    totals: list[Row] = field(default_factory=list)
    clock: Clock = field(default_factory=Clock)

    @property
    def num_begun(self) -> int:
        """Tasks for which ``begin_task`` was called."""
        return self.task + (self.phase != "begin")

    def add(self, terms: Mapping[str, Tensor], num_images: int) -> None:
        """Count a step; nothing is read from the device."""
        for name, term in terms.items():
            value = term.detach().float() * num_images
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.images += num_images
        self.step += 1

    def next_epoch(self) -> None:
        """Go to the start of the next epoch."""
        self.epoch, self.step, self.images, self.sums = self.epoch + 1, 0, 0, {}

    def next_task(self) -> None:
        """Go to the start of the next task."""
        self.task, self.phase, self.epoch, self.trained_parameters = self.task + 1, "begin", 0, 0

    def to_json(self) -> dict[str, Any]:
        """Return all but the sums."""
        names = ("task", "phase", "epoch", "step", "images", "trained_parameters", "hits", "totals")
        return {name: getattr(self, name) for name in names} | {"seconds": self.clock.read()}

    @classmethod
    def from_json(cls, value: Mapping[str, Any], sums: dict[str, Tensor]) -> Progress:
        """Undo `to_json`."""
        fields = {name: part for name, part in value.items() if name != "seconds"}
        return cls(**fields, sums=sums, clock=Clock(value["seconds"]))


@dataclass(frozen=True)
class StepReport:
    """What an observer is told after a step; counts, all from 0 or 1 as said.

    Attributes:
        task: Position of the task, from 0.
        num_tasks: Tasks in the stream.
        epoch: Epoch within the task, from 0.
        num_epochs: Epochs of a task.
        step: Steps done in this epoch.
        num_steps: Steps of an epoch.
        done_images: Training images seen in the whole run, each as often as it was seen.
        total_images: What `done_images` will be at the end.
        lr: Learning rate of the step.
        loss: Sum of the step's loss terms, a scalar on the training device; reading it waits for the device.
    """

    task: int
    num_tasks: int
    epoch: int
    num_epochs: int
    step: int
    num_steps: int
    done_images: int
    total_images: int
    lr: float
    loss: Tensor


class Observer:
    """Hears what a run does, to draw bars or to print lines; override what matters. It cannot change the run."""

    def on_start(self, progress: Progress) -> None:
        """Training begins, or goes on, here."""

    def on_step(self, report: StepReport) -> None:
        """A training step was taken."""

    def on_epoch(self, row: dict[str, Any]) -> None:
        """An epoch is done; `row` is its line in the metric log."""

    def on_task(self, row: dict[str, Any]) -> None:
        """A task was learned and measured; `row` is its line in the metric log."""

    def on_warning(self, message: str) -> None:
        """Something is not as it should be, but the run goes on."""
