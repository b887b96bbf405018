"""Training steps against a plain loop."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from reliability.small_run import Case, small_stream
from torch.utils._python_dispatch import TorchDispatchMode

from sdlora.engine import OptimOptions
from sdlora.engine.device import open_accelerator
from sdlora.engine.guard import Guard
from sdlora.engine.trainer import Trainer
from sdlora.streams import PlainBatches

STREAM = small_stream()
CASE = Case(method="probe")


@pytest.fixture
def accelerator():
    with open_accelerator(CASE.options()) as made:
        yield made


def begun():
    torch.manual_seed(0)
    method = CASE.make_method()
    method.begin_task(STREAM.tasks[0])
    return method


def trainer_of(method, accelerator, **optim):
    options = replace(CASE.options(), optim=OptimOptions(**optim))
    return Trainer(method, STREAM.tasks[0], method.param_groups(), options, accelerator, 3, 2)


def test_steps_are_those_of_a_plain_loop(accelerator):
    ours, theirs = begun(), begun()
    trainer = trainer_of(ours, accelerator, name="sgd", lr=0.5, momentum=0.9, schedule="cosine")
    optimizer = torch.optim.SGD(theirs.head.parameters(), 0.5, 0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 6)
    for epoch in range(2):
        for step, (images, labels) in enumerate(PlainBatches(STREAM.train(0), 6, 16)):
            terms = trainer.step(images, labels, epoch, step)
            loss = theirs.losses(images, labels)["cross_entropy"]
            assert torch.allclose(terms["cross_entropy"], loss)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
    for one, other in zip(ours.head.parameters(), theirs.head.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6)
        assert one.grad is None


def test_it_goes_on_from_its_state(accelerator):
    images, labels = next(iter(PlainBatches(STREAM.train(0), 6, 16)))
    straight, broken = begun(), begun()
    first = trainer_of(straight, accelerator, name="adamw", lr=0.1)
    second = trainer_of(broken, accelerator, name="adamw", lr=0.1)
    for step in range(3):
        first.step(images, labels, 0, step)
        if step == 1:
            state = {key: value.clone() for key, value in second.state().items()}
            second = trainer_of(broken, accelerator, name="adamw", lr=0.1)
            second.load(state)
        second.step(images, labels, 0, step)
    for one, other in zip(straight.parameters(), broken.parameters(), strict=True):
        assert torch.equal(one, other)


def test_it_counts_what_it_trains(accelerator):
    assert trainer_of(begun(), accelerator, lr=0.1).num_parameters == 2 * 32 + 2


def test_autocast_reaches_the_losses():
    seen = []
    method = begun()
    losses = method.losses

    def spy(images, labels):
        seen.append(torch.is_autocast_enabled("cpu"))
        return losses(images, labels)

    method.losses = spy
    options = replace(CASE.options(), precision="bf16")
    images, labels = next(iter(PlainBatches(STREAM.train(0), 6, 16)))
    with open_accelerator(options) as accelerator:
        trainer = Trainer(method, STREAM.tasks[0], method.param_groups(), options, accelerator, 3, 2)
        terms = trainer.step(images, labels, 0, 0)
    assert seen == [True]
    assert terms["cross_entropy"].dtype == torch.float32
    assert all(p.dtype == torch.float32 for p in method.parameters())


class HostReads(TorchDispatchMode):
    """Counts how often a number of a tensor is read, as ``item``, ``bool`` and ``float`` do."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **kwargs or {})


@pytest.mark.parametrize("name", ["sdlora", "lora", "inflora", "finetune"])
@pytest.mark.parametrize("optim", ["sgd", "adamw"])
def test_a_step_reads_no_number_where_the_verdict_is_left_on_the_device(name, optim, accelerator, monkeypatch):
    monkeypatch.setattr(
        "sdlora.engine.trainer.Guard", lambda *parts, **options: Guard(*parts, **{**options, "deferred": True})
    )
    method = replace(CASE, method=name).make_method()
    method.begin_task(STREAM.tasks[0])
    trainer = trainer_of(method, accelerator, name=optim, lr=0.1, clip_norm=1.0)
    images, labels = next(iter(PlainBatches(STREAM.train(0), 6, 16)))
    trainer.step(images, labels, 0, 0)
    with HostReads() as reads:
        trainer.step(images, labels, 0, 1)
    assert reads.count == 0
    with HostReads() as reads:
        assert float(images.sum()) > 0
    assert reads.count == 1
