"""Optimisers against torch's plain loops, and schedules against their formulas."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import nn

from sdlora.engine.optim import load_optimizer_state, lr_at, make_optimizer, optimizer_state, set_lr
from sdlora.engine.options import OptimOptions, Steps


def parameters(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((3, 4), (5,), ())]


def take_steps(optimizer, params, steps, seed=1):
    generator = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        for parameter in params:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        optimizer.step()


@pytest.mark.parametrize(
    ("options", "reference"),
    [
        (
            OptimOptions(name="sgd", lr=0.1, momentum=0.9, weight_decay=0.01),
            lambda p: torch.optim.SGD(p, 0.1, 0.9, weight_decay=0.01, foreach=False, fused=False),
        ),
        (OptimOptions(name="sgd", lr=0.1), lambda p: torch.optim.SGD(p, 0.1, foreach=False, fused=False)),
        (
            OptimOptions(name="adam", lr=0.1, weight_decay=0.01),
            lambda p: torch.optim.Adam(p, 0.1, weight_decay=0.01, foreach=False, fused=False),
        ),
        (
            OptimOptions(name="adamw", lr=0.1, weight_decay=0.01),
            lambda p: torch.optim.AdamW(p, 0.1, weight_decay=0.01, foreach=False, fused=False),
        ),
    ],
)
def test_fused_kernels_compute_what_plain_loops_do(options, reference):
    ours, theirs = parameters(), parameters()
    take_steps(make_optimizer([{"params": ours}], options), ours, 5)
    take_steps(reference(theirs), theirs, 5)
    for one, other in zip(ours, theirs, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


def test_groups_scale_the_learning_rate():
    first, second, third = parameters()
    groups = [{"params": [first]}, {"params": []}, {"params": [second, third], "lr_scale": 0.1}]
    optimizer = make_optimizer(groups, OptimOptions(name="sgd", lr=1.0))
    set_lr(optimizer, 0.5)
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, 0.05]
    before = [first.detach().clone(), second.detach().clone()]
    for parameter in (first, second, third):
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    assert torch.allclose(first, before[0] - 0.5)
    assert torch.allclose(second, before[1] - 0.05)


def rates(schedule, num_epochs=4, steps_per_epoch=5, lr=2.0):
    options = OptimOptions(lr=lr, schedule=schedule)
    return [
        lr_at(options, step, steps_per_epoch=steps_per_epoch, num_epochs=num_epochs)
        for step in range(num_epochs * steps_per_epoch)
    ]


def test_constant():
    assert set(rates("constant")) == {2.0}


def test_cosine():
    found = rates("cosine")
    assert found[0] == 2.0
    assert found[10] == pytest.approx(1.0)
    assert found[5] == pytest.approx(1 + math.cos(math.pi / 4))
    assert all(later < earlier for earlier, later in itertools.pairwise(found))
    assert 0 < found[-1] < 0.02


def test_cosine_is_torchs():
    optimizer = torch.optim.SGD(parameters(), 2.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    for expected in rates("cosine"):
        assert optimizer.param_groups[0]["lr"] == pytest.approx(expected)
        optimizer.step()
        schedule.step()


def test_steps():
    found = rates(Steps(epochs=(1, 3), factor=0.1))
    assert found == pytest.approx([2.0] * 5 + [0.2] * 10 + [0.02] * 5)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_a_stored_optimiser_goes_on_with_the_same_bits(name):
    options = OptimOptions(name=name, lr=0.1, momentum=0.9 if name == "sgd" else 0.0)
    straight = parameters()
    take_steps(make_optimizer([{"params": straight}], options), straight, 3)
    broken = parameters()
    first = make_optimizer([{"params": broken}], options)
    generator = torch.Generator().manual_seed(1)
    for step in range(3):
        if step == 2:
            state = {key: value.clone() for key, value in optimizer_state(first).items()}
            first = make_optimizer([{"params": broken}], options)
            load_optimizer_state(first, state)
            assert optimizer_state(first).keys() == state.keys()
        for parameter in broken:
            parameter.grad = torch.randn(parameter.shape, generator=generator)
        first.step()
    for one, other in zip(straight, broken, strict=True):
        assert torch.equal(one, other)


def test_a_parameter_without_gradient_has_no_state():
    params = parameters()
    optimizer = make_optimizer([{"params": params}], OptimOptions(name="adamw", lr=0.1))
    params[1].grad = torch.ones(5)
    optimizer.step()
    assert {key.partition(".")[0] for key in optimizer_state(optimizer)} == {"1"}
