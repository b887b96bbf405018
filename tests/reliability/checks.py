"""What holds for every method, as functions of how to make it; each raises AssertionError where it does not.

    R1  interrupted anywhere and continued, it has the same bits
    R8  what others do with the global generators, and how often it is tested, changes nothing
    T1  two runs have the same bits
    T2  a prediction does not depend on the batch it is made in
    N1  zero, tiny and equal values in what it learns give finite losses, gradients and logits
    N2  a number that is none stops the run before the step, and nothing of it is stored
    N3  a learning rate far too high is refused, or stays within bounds

All runs use the tiny backbone, the stream and the options of `small_run`; `make_method` must fit them.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from reliability.small_run import IMAGE_SIZE, STEPS, Case, StopAfter, bits, small_stream, train
from torch import Tensor, nn

from sdlora.engine import Observer, OptimOptions, StepReport, evaluate, fit, load_method
from sdlora.engine.checkpoint import LARGEST, Checkpoints, check_weights, stored_state
from sdlora.engine.guard import LARGEST_LOSS
from sdlora.engine.metric_log import read_rows
from sdlora.errors import NumericalError
from sdlora.methods import Method
from sdlora.streams import PlainBatches
from sdlora.task import TaskData

MakeMethod = Callable[[], Method]
CASE = Case(method="any")


def check_resume(make_method: MakeMethod, folder: Path) -> None:
    """R1, in this process: leave a run a step or two into each epoch, as a kill would, until it is done."""
    train(folder / "unbroken", CASE, make_method=make_method)
    steps = 2 * STEPS if make_method().joint else STEPS  # of an epoch
    for session in range(20):
        try:
            train(folder / "broken", CASE, StopAfter(steps + 1 + session % 2), make_method)
            break
        except KeyboardInterrupt:
            continue
    assert bits(folder / "broken") == bits(folder / "unbroken")


def check_repeats(make_method: MakeMethod, folder: Path) -> None:
    """T1: run it three times."""
    for name in ("first", "second", "third"):
        train(folder / name, CASE, make_method=make_method)
    assert bits(folder / "first") == bits(folder / "second") == bits(folder / "third")


class Poison(Observer):
    """At each step spoil all global generators; at every `pace`-th step test the method."""

    def __init__(self, methods: list[Method], pace: int) -> None:
        self.methods, self.pace, self.noise = methods, pace, random.Random(pace)
        self.tested = 0

    def on_step(self, report: StepReport) -> None:
        seed = self.noise.randrange(2**32)
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)
        torch.rand(7)
        if report.step % self.pace == 0:
            num_seen = 4 if self.methods[-1].joint else 2 * (report.task + 1)
            evaluate(self.methods[-1], small_stream(), Accelerator(cpu=True), num_seen=num_seen, batch_size=3)
            self.tested += 1


def check_poison(make_method: MakeMethod, folder: Path) -> None:
    """R8: other users of the generators, and tests at every step or every second, leave no trace."""
    train(folder / "clean", CASE, make_method=make_method)
    for pace in (1, 2):
        made: list[Method] = []

        def make() -> Method:
            made.append(make_method())  # noqa: B023, made anew in each round
            return made[-1]  # noqa: B023

        poison = Poison(made, pace)
        train(folder / f"poisoned{pace}", CASE, poison, make)
        assert poison.tested or not steps_of(folder / "clean")
        assert bits(folder / f"poisoned{pace}") == bits(folder / "clean")


def check_batching(make_method: MakeMethod, folder: Path) -> None:
    """T2: predict in batches of 1, 7, 8 and 64, and in another order."""
    train(folder / "run", CASE, make_method=make_method)
    method = load_method(make_method, small_stream(), folder / "run")
    images = torch.rand(64, 3, IMAGE_SIZE, IMAGE_SIZE, generator=torch.Generator().manual_seed(1))
    order = torch.randperm(64, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        together = method(images)
        bound = 1e-6 * max(1.0, float(together.abs().max()))
        for size in (1, 7, 8):
            parts = torch.cat([method(part) for part in images.split(size)])
            assert float((parts - together).abs().max()) <= bound, size
            assert torch.equal(parts.argmax(1), together.argmax(1)), size
        shuffled = method(images[order])
    assert float((shuffled - together[order]).abs().max()) <= bound
    assert torch.equal(shuffled.argmax(1), together[order].argmax(1))


DEGENERATE: dict[str, Callable[[Tensor], Tensor]] = {
    "zero": torch.zeros_like,
    "tiny": lambda value: torch.full_like(value, 1e-30),
    "equal": lambda value: torch.full_like(value, 0.02),
}


def check_zero_directions(make_method: MakeMethod) -> None:
    """N1: put degenerate values into each learned tensor in turn, in the first and in the second task."""
    stream = small_stream()
    torch.manual_seed(0)
    method = make_method()
    stream = stream.joined() if method.joint else stream
    for position, task in enumerate(stream.tasks):
        split = stream.train(position)
        plain = PlainBatches(split, 8, IMAGE_SIZE)
        method.begin_task(task)
        method.prepare(TaskData(train=plain, plain=plain))
        images, labels = next(iter(plain))
        learned = {id(p) for group in method.param_groups() for p in group["params"]}
        for name, parameter in method.named_parameters():
            if id(parameter) not in learned or method.num_epochs == 0:
                continue
            for kind, make in DEGENERATE.items():
                with changed(parameter, make):
                    terms = method.losses(images, labels)
                    method.zero_grad()
                    torch.stack(list(terms.values())).sum().backward()
                    for other, p in method.named_parameters():
                        finite = p.grad is None or bool(torch.isfinite(p.grad).all())
                        assert finite, f"gradient of {other} with {kind} {name}"
                    with torch.no_grad():
                        assert torch.isfinite(method(images)).all(), f"logits with {kind} {name}"
            with changed(parameter, lambda value: torch.full_like(value, 1e30)):
                with pytest.raises(NumericalError) as caught:
                    check_weights(method)
                assert name in str(caught.value)
        with torch.no_grad():
            for parameter in method.parameters():
                if id(parameter) in learned:
                    parameter.zero_()
        method.end_task(TaskData(train=plain, plain=plain))
        with torch.no_grad():
            assert torch.isfinite(method(images)).all(), "logits after a task in which everything learned was zero"
        assert all(bool(torch.isfinite(v).all()) for v in stored_state(method).values() if v.is_floating_point())


@contextmanager
def changed(parameter: nn.Parameter, make: Callable[[Tensor], Tensor]) -> Iterator[None]:
    before = parameter.detach().clone()
    with torch.no_grad():
        parameter.copy_(make(before))
    yield
    with torch.no_grad():
        parameter.copy_(before)


class Spoiler:
    """Makes methods whose numbers go wrong once: at step `at` of the run, or at the end of the second task.

    Args:
        make_method: Makes the method itself.
        what: ``"input"``, ``"weight"``, ``"loss"``, ``"gradient"`` or ``"end"``.
        at: Number of the step, from 0.
    """

    def __init__(self, make_method: MakeMethod, what: str, at: int) -> None:
        self.make_method, self.what, self.at = make_method, what, at
        self.weights_before: dict[str, Tensor] = {}

    def __call__(self) -> Method:
        method = self.make_method()
        losses, end_task, steps, tasks = method.losses, method.end_task, 0, 0

        def spoiled_losses(images: Tensor, labels: Tensor) -> dict[str, Tensor]:
            nonlocal steps
            steps += 1
            if steps - 1 != self.at:
                return losses(images, labels)
            learned = next(p for group in method.param_groups() for p in group["params"])
            if self.what == "weight":
                with torch.no_grad():
                    learned.view(-1)[0] = float("nan")
            if self.what == "gradient":
                learned.register_hook(lambda gradient: gradient * float("nan"))
            terms = losses(images * float("nan") if self.what == "input" else images, labels)
            if self.what == "loss":
                terms = {name: term * float("inf") for name, term in terms.items()}
            self.weights_before = {name: value.clone() for name, value in method.state_dict().items()}
            return terms

        def spoiled_end(data: TaskData) -> None:
            nonlocal tasks
            end_task(data)
            tasks += 1
            if self.what == "end" and (tasks == 2 or method.joint):
                value = next(v for v in reversed(stored_state(method).values()) if v.is_floating_point() and v.numel())
                with torch.no_grad():
                    value.view(-1)[0] = float("nan")

        method.losses, method.end_task = spoiled_losses, spoiled_end  # type: ignore[method-assign]
        self.method = method
        return method


def steps_of(folder: Path) -> int:
    """Return the number of steps in a finished run."""
    return sum(row["event"] == "epoch" for row in read_rows(folder / "metrics.jsonl")) * 3


def check_not_finite(make_method: MakeMethod, folder: Path) -> None:
    """N2: spoil input, weight, loss, gradient, or the end of a task; then train the same folder unspoiled."""
    train(folder / "clean", CASE, make_method=make_method)
    trains = steps_of(folder / "clean") > 0
    place = "epoch 1, step 5" if make_method().joint else "epoch 2, step 2"
    for what in ("input", "weight", "loss", "gradient", "end") if trains else ("end",):
        spoiler = Spoiler(make_method, what, at=4)
        with pytest.raises(NumericalError) as caught:
            train(folder / what, CASE, make_method=spoiler)
        message = str(caught.value)
        assert caught.value.exit_code == 8
        if what == "end":
            assert "has reached nan" in message
        else:
            assert f"is not finite in task 1, {place}, at a learning rate of 0.00" in message
            assert ("the loss term " in message) == (what != "gradient")
            for name, value in spoiler.method.state_dict().items():
                assert torch.equal(value.nan_to_num(), spoiler.weights_before[name].nan_to_num()), "a step was taken"
        checkpoint, problems = Checkpoints(folder / what / "checkpoint").newest()
        assert checkpoint is not None
        assert not problems
        assert all(bool(torch.isfinite(v).all()) for v in checkpoint.tensors.values() if v.is_floating_point())
        train(folder / what, CASE, make_method=make_method)
        assert bits(folder / what) == bits(folder / "clean"), what


def check_divergence(make_method: MakeMethod, folder: Path) -> None:
    """N3: train at ten thousand times a usual rate; all that is ever stored is finite and within bounds."""
    rates = {"sgd": OptimOptions(name="sgd", lr=1e-2 * 1e4, momentum=0.9), "adamw": OptimOptions(name="adamw", lr=10.0)}
    for name, optim in rates.items():
        options = replace(CASE.options(), optim=optim, epochs=4)
        try:
            fit(make_method, CASE.stream(), options, folder / name, recipe={})
        except NumericalError as error:
            assert "diverged" in str(error) or "not finite" in str(error)  # noqa: PT017, one of two outcomes
        checkpoint, problems = Checkpoints(folder / name / "checkpoint").newest()
        assert checkpoint is not None
        assert not problems
        learned = {f"method.{key}" for key, _ in make_method().named_parameters()}
        for key, value in checkpoint.tensors.items():
            if value.is_floating_point() and value.numel():
                bound = LARGEST if key in learned else torch.finfo(torch.float32).max
                assert float(value.abs().max()) <= bound, key
        rows = read_rows(folder / name / "metrics.jsonl")
        assert all(row["loss"] <= LARGEST_LOSS for row in rows if row["event"] == "epoch")
