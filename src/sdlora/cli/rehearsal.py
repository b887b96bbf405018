"""How long a recipe will take and how much memory it needs, from a few steps that leave nothing behind."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import accumulate, islice
from typing import Any

import torch
from accelerate import Accelerator

from sdlora.config.build import Experiment
from sdlora.engine import FitOptions
from sdlora.engine.device import open_accelerator
from sdlora.engine.seeding import seeded
from sdlora.engine.trainer import Trainer
from sdlora.methods.base import Method
from sdlora.streams import PlainBatches, Stream, TrainBatches

STEPS = 6  # the first is not timed: some things happen only once


@dataclass(frozen=True)
class Estimate:
    """What one seed of a recipe costs.

    Attributes:
        seconds: Training and testing; a hook that looks at a task's images counts as one forward pass over them.
        train_images_per_second: None for a method that takes no steps.
        test_images_per_second: Speed of a forward pass.
        memory_bytes: Largest memory in use, of the GPU if there is one, else of the process; None where it is not told.
    """

    seconds: float
    train_images_per_second: float | None
    test_images_per_second: float
    memory_bytes: int | None

    def to_dict(self) -> dict[str, Any]:
        """Return the document that ``sdlora train --dry-run --json`` prints."""
        return asdict(self)


def rehearse(experiment: Experiment) -> Estimate:
    """Take a few steps on the first task, classify a few test images, and throw the result away."""
    seed = experiment.recipe.run.seeds[0]
    options = experiment.options(seed)
    with open_accelerator(options) as accelerator:
        with seeded(seed, "method"):
            method = experiment.method()
        stream = experiment.stream(seed).joined() if method.joint else experiment.stream(seed)
        with seeded(seed, 0, "begin_task"):
            method.begin_task(stream.tasks[0])
        method.to(accelerator.device)
        epochs = options.epochs if method.num_epochs is None else method.num_epochs
        learning = _training_speed(method, stream, options, accelerator) if epochs else None
        testing = _testing_speed(method, stream, options, accelerator)
        memory = _peak_memory(accelerator.device)
    trained = sum(len(stream.train(task.index)) for task in stream.tasks)
    seconds = _num_tests(stream) / testing + trained * _num_data_hooks(method) / testing
    if learning is not None:
        seconds += trained * epochs / learning
    return Estimate(seconds, learning, testing, memory)


def _training_speed(method: Method, stream: Stream, options: FitOptions, accelerator: Accelerator) -> float:
    """Return images per second over a few training steps."""
    split = stream.train(0)
    size, device = method.backbone.image_size, accelerator.device
    batches = TrainBatches(split, options.batch_size, options.seed, 0, 0, split.augment, size, device)
    trainer = Trainer(method, stream.tasks[0], method.param_groups(), options, accelerator, len(batches), num_epochs=1)
    method.train()
    timer = _Timer(accelerator)
    for step, (images, labels) in enumerate(islice(batches, STEPS)):
        trainer.step(images, labels, 0, step)
        timer.tick(len(labels))
    return timer.speed


@torch.inference_mode()
def _testing_speed(method: Method, stream: Stream, options: FitOptions, accelerator: Accelerator) -> float:
    """Return images per second over a few batches of test images."""
    batches = PlainBatches(stream.test(0), options.batch_size, method.backbone.image_size, accelerator.device)
    method.eval()
    timer = _Timer(accelerator)
    for images, _ in islice(batches, STEPS):
        with accelerator.autocast():
            method(images)
        timer.tick(len(images))
    return timer.speed


class _Timer:
    """Images per second, without the first batch where there is a second one."""

    def __init__(self, accelerator: Accelerator) -> None:
        self.wait: Callable[[], None] = torch.cuda.synchronize if accelerator.device.type == "cuda" else lambda: None
        self.started = self.last = time.perf_counter()
        self.first_done = self.started
        self.counts: list[int] = []

    def tick(self, count: int) -> None:
        self.wait()
        self.last = time.perf_counter()
        self.counts.append(count)
        if len(self.counts) == 1:
            self.first_done = self.last

    @property
    def speed(self) -> float:
        if len(self.counts) > 1:
            return sum(self.counts[1:]) / (self.last - self.first_done)
        return self.counts[0] / (self.last - self.started)


def _num_tests(stream: Stream) -> int:
    """Return how many images are classified: after each task, those of all groups seen."""
    seen = list(accumulate(len(stream.test(group.index)) for group in stream.groups))
    by_classes = {group.num_seen: count for group, count in zip(stream.groups, seen, strict=True)}
    return sum(by_classes[task.num_seen] for task in stream.tasks)


def _num_data_hooks(method: Method) -> int:
    kind = type(method)
    return (kind.prepare is not Method.prepare) + (kind.end_task is not Method.end_task)


def _peak_memory(device: torch.device) -> int | None:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # Linux counts in KiB
