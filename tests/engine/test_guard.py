"""The verdict on a step, read at once or left on the device for a while; the second is tried on the CPU too."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sdlora.engine.guard import PATIENCE, Guard, check_loss
from sdlora.engine.optim import make_optimizer
from sdlora.engine.options import OptimOptions
from sdlora.errors import NumericalError


class Setting:
    """Two parameters, an optimiser and a guard."""

    def __init__(self, *, name="sgd", clip_norm=None, deferred=False):
        self.first, self.second = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))
        options = OptimOptions(name=name, lr=0.1, momentum=0.9 if name == "sgd" else 0.0)
        self.optimizer = make_optimizer([{"params": [self.first, self.second]}], options)
        names = {self.first: "first", self.second: "second"}
        self.guard = Guard(self.optimizer, names, clip_norm=clip_norm, deferred=deferred)

    def step(self, number, *, loss=1.0, first=1.0, second=1.0):
        self.first.grad = torch.full((3,), first)
        self.second.grad = None if second is None else torch.full((2,), second)
        self.guard.check({"fit": torch.tensor(loss), "penalty": torch.tensor(0.5)}, f"step {number}")
        self.optimizer.step()
        self.optimizer.zero_grad()

    def values(self):
        return torch.cat([self.first.detach(), self.second.detach()])


BAD = [
    ({"loss": float("nan")}, "the loss term fit is not finite in step 1"),
    ({"loss": float("inf")}, "the loss term fit is not finite in step 1"),
    ({"first": float("nan")}, "the gradient of first is not finite in step 1"),
    ({"second": float("-inf")}, "the gradient of second is not finite in step 1"),
    ({"first": 1e30}, "the gradient of first is not finite in step 1"),  # its norm is beyond float32
]


@pytest.mark.parametrize(("spoiled", "message"), BAD)
@pytest.mark.parametrize("clip_norm", [None, 1.0])
def test_a_bad_step_is_not_taken(spoiled, message, clip_norm):
    setting = Setting(clip_norm=clip_norm)
    setting.step(0)
    before = setting.values()
    with pytest.raises(NumericalError, match=message) as caught:
        setting.step(1, **spoiled)
    assert torch.equal(setting.values(), before)
    assert caught.value.exit_code == 8
    assert "the step was not taken" in str(caught.value)


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
@pytest.mark.parametrize(("spoiled", "message"), BAD)
def test_left_on_the_device_the_verdict_still_holds_back_all_later_steps(name, spoiled, message):
    setting = Setting(name=name, deferred=True)
    setting.step(0)
    before = setting.values()
    setting.step(1, **spoiled)
    setting.step(2)
    setting.step(3)
    assert torch.equal(setting.values(), before)
    with pytest.raises(NumericalError, match=message):
        setting.guard.settle()


def test_left_on_the_device_good_steps_are_the_same():
    now, later = Setting(name="adamw"), Setting(name="adamw", deferred=True)
    for number in range(5):
        now.step(number, first=number - 2.0)
        later.step(number, first=number - 2.0)
    later.guard.settle()
    assert torch.equal(now.values(), later.values())


def test_the_host_looks_every_so_often():
    setting = Setting(deferred=True)
    setting.step(0, loss=float("nan"))
    for number in range(1, PATIENCE - 1):
        setting.step(number)
    with pytest.raises(NumericalError, match="in step 0"):
        setting.step(PATIENCE - 1)


def test_settled_verdicts_are_forgotten():
    setting = Setting(deferred=True)
    setting.step(0)
    setting.guard.settle()
    setting.guard.settle()


def test_parameters_without_gradient_are_no_matter():
    setting = Setting()
    setting.step(0, second=None)
    with pytest.raises(NumericalError, match="gradient of first is not finite in step 1"):
        setting.step(1, second=None, first=float("nan"))
    setting = Setting(deferred=True)
    setting.step(0)
    setting.step(1, second=None)
    setting.guard.settle()


@pytest.mark.parametrize("second", [4.0, None])
def test_clipping_is_torchs(second):
    ours = Setting(clip_norm=2.0)
    theirs = [nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(2))]
    theirs[0].grad = torch.full((3,), 3.0)
    theirs[1].grad = None if second is None else torch.full((2,), second)
    torch.nn.utils.clip_grad_norm_(theirs, 2.0)
    torch.optim.SGD(theirs, 0.1).step()
    ours.step(0, first=3.0, second=second)
    assert torch.allclose(ours.values(), torch.cat([p.detach() for p in theirs]))


def test_a_diverged_epoch_is_refused():
    check_loss(999.0, "here")
    with pytest.raises(NumericalError, match=r"diverged: the mean loss is 1e\+04 in here"):
        check_loss(1e4, "here")
