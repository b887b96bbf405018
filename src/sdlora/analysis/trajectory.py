"""The weights of a run after each of its tasks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from shlex import quote
from statistics import fmean
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from sdlora.adapters.inject import adapters_of, remove
from sdlora.config.build import Experiment, build
from sdlora.config.load import load_recipe
from sdlora.engine import evaluate
from sdlora.engine.device import open_accelerator
from sdlora.engine.task_weights import load_after_task
from sdlora.errors import RunError
from sdlora.methods import Method
from sdlora.reports import Run, load_runs
from sdlora.streams import Stream

NUM_STEPS = 10  # between the weights after task 1 and those after task 2

Updates = Mapping[str, Tensor]
"""What was added to the weight (D_out, D_in) of each adapted layer, by its dotted name."""


@dataclass(frozen=True)
class Trajectory:
    """A finished run that kept its weights after each task.

    Attributes:
        run: What is known of it.
        experiment: What it was made from.
        stream: What it learned.
    """

    run: Run
    experiment: Experiment
    stream: Stream

    @classmethod
    def load(cls, folder: Path) -> Trajectory:
        """Read a run folder, and load its backbone and data.

        Raises:
            RunError: If it is no finished run of at least two tasks.
            DataError: If its data are not there.
        """
        runs = load_runs([folder])
        if len(runs) != 1:
            raise RunError(f"{folder} holds {len(runs)} runs", expected="one", fix=f"sdlora analyze {runs[0].path}")
        run = runs[0]
        if len(run.task_sizes) < 2 or run.is_joint:
            raise RunError(f"{run.path} has 1 task", expected="at least 2", fix="stream.num_tasks=2 or more")
        if not run.is_finished:
            raise RunError(f"{run.path} is not finished", fix=f"sdlora train {quote(str(run.path / 'recipe.toml'))}")
        experiment = build(load_recipe(str(run.path / "recipe.toml")))
        found = cls(run, experiment, experiment.stream(run.seed))
        if found.stream.digest != run.manifest.stream.digest:
            raise RunError(f"the data of {run.path} have changed since it was trained")
        return found

    @property
    def num_tasks(self) -> int:
        """Tasks learned."""
        return len(self.stream.tasks)

    def after(self, num_tasks: int) -> Method:
        """Return the method as it was after some of its tasks.

        Raises:
            RunError: If its weights were not kept.
        """
        return load_after_task(self.experiment.method, self.stream, self.run.path, num_tasks)

    @cached_property
    def updates(self) -> tuple[Updates, ...]:
        """W_t - W_0 after each task t.

        Raises:
            RunError: If the weights were not kept, or the method adds nothing to weights.
        """
        return tuple(self._updates(self.after(num_tasks)) for num_tasks in range(1, self.num_tasks + 1))

    def _updates(self, method: Method) -> Updates:
        adapters = adapters_of(method.backbone)
        if not adapters:
            raise RunError(
                f"{self.run.method} adds nothing to the weights of linear layers, so there is nothing to follow",
                expected="a run of sdlora, lora or inflora",
            )
        return {name: adapter.merged().weight.detach() - adapter.base.weight for name, adapter in adapters.items()}

    def gram(self) -> NDArray[np.float64]:
        """Return the inner products of the updates of all tasks, (T, T)."""
        total = torch.zeros(self.num_tasks, self.num_tasks, dtype=torch.float64)
        for name in self.updates[0]:
            rows = torch.stack([update[name].flatten() for update in self.updates]).double()  # (T, D)
            total += rows @ rows.T
        return total.numpy()

    def residuals(self) -> list[float]:
        """Return how new each task's direction is, from the second task on: mean over projections of its residual.

        Those that the method logged; else of the steps W_t - W_(t-1), over the earlier steps, by least squares.
        """
        logged = [_numbers(row.method.get("residuals")) for row in self.run.tasks[1:]]
        if all(logged):
            return [fmean(values) for values in logged]
        steps = [self.updates[0]] + [
            {name: new[name] - old[name] for name in new}
            for old, new in zip(self.updates, self.updates[1:], strict=False)
        ]
        return [float(np.mean([_residual(steps[: t + 1], name) for name in steps[0]])) for t in range(1, len(steps))]

    def magnitudes(self) -> list[float] | None:
        """Return the magnitude of every task after the last one; None for a method that has none."""
        return _numbers(self.run.tasks[-1].method.get("magnitudes")) or None

    def accuracies_on_the_way(self, device: str) -> tuple[list[float], int]:
        """Return the accuracy on task 1 along the line from the weights after task 1 to those after task 2.

        Among the classes of task 1, with the head as it was then: what the path does to the features alone.

        Returns:
            `NUM_STEPS` + 1 fractions, and the number of test images.
        """
        first, second = self.updates[:2]
        method = self.after(1)
        remove(method.backbone)
        plain = {name: cast(nn.Linear, method.backbone.get_submodule(name)).weight for name in first}
        start = {name: weight.detach().clone() for name, weight in plain.items()}
        options = replace(self.experiment.options(self.run.seed), device=device, precision="float32")
        found, num_images = [], 0
        with open_accelerator(options) as accelerator:
            method.to(accelerator.device)
            for step in range(NUM_STEPS + 1):
                with torch.no_grad():
                    for name, weight in plain.items():
                        share = step / NUM_STEPS
                        weight.copy_(start[name] + (1 - share) * first[name] + share * second[name])
                num_seen = self.stream.tasks[0].num_seen
                hits, totals = evaluate(method, self.stream, accelerator, num_seen=num_seen)
                num_images = totals[0] or 0
                found.append((hits[0] or 0) / num_images)
        return found, num_images


def _numbers(logged: object) -> list[float]:
    """Return a list of a log, or an empty one for what is no list of numbers."""
    values = logged if isinstance(logged, list) else []
    return [float(value) for value in values] if None not in values else []


def _residual(steps: list[Updates], name: str) -> float:
    """Return which fraction of the last step's square norm the earlier steps cannot explain."""
    *earlier, newest = [step[name].flatten().double().numpy() for step in steps]
    square = float(newest @ newest)
    if square == 0:
        return 0.0
    basis = np.stack(earlier, axis=1)  # (D, t)
    shares = np.linalg.lstsq(basis, newest, rcond=1e-10)[0]
    rest = newest - basis @ shares
    return float(rest @ rest) / square
