"""What a session tells observers, and what it lets hooks see."""

from __future__ import annotations

import os
import signal

import pytest
import torch
from reliability.checks import Spoiler
from reliability.small_run import STEPS, Case, bits, interrupted, train

from sdlora.engine import Observer
from sdlora.engine.guard import Guard
from sdlora.errors import NumericalError
from sdlora.streams import TrainBatches


class Listener(Observer):
    def __init__(self):
        self.starts, self.steps, self.epochs, self.tasks = [], [], [], []

    def on_start(self, progress):
        self.starts.append((progress.task, progress.epoch, progress.num_begun))

    def on_step(self, report):
        assert report.loss.ndim == 0
        assert not report.loss.requires_grad
        self.steps.append(report)

    def on_epoch(self, row):
        self.epochs.append(row)

    def on_task(self, row):
        self.tasks.append(row)


def test_observers_hear_everything_once(tmp_path):
    heard = Listener()
    train(tmp_path / "run", Case(), heard)
    assert heard.starts == [(0, 0, 0)]
    places = [(report.task, report.epoch, report.step) for report in heard.steps]
    assert places == [(task, epoch, step + 1) for task in range(2) for epoch in range(2) for step in range(STEPS)]
    assert [report.done_images for report in heard.steps[:4]] == [6, 12, 16, 22]
    assert heard.steps[-1].done_images == heard.steps[-1].total_images == 64
    assert {(r.num_tasks, r.num_epochs, r.num_steps) for r in heard.steps} == {(2, 2, STEPS)}
    epochs = [(row["task"], row["epoch"], row["step"]) for row in heard.epochs]
    assert epochs == [(0, 0, 3), (0, 1, 6), (1, 0, 3), (1, 1, 6)]
    assert [row["task"] for row in heard.tasks] == [0, 1]
    last = heard.steps[STEPS - 1]
    assert last.lr == heard.epochs[0]["lr"]
    weights = torch.tensor([6, 6, 4]) / 16
    losses = torch.stack([report.loss for report in heard.steps[:STEPS]])
    assert heard.epochs[0]["loss"] == pytest.approx(float((weights * losses).sum()))


def test_observers_hear_where_a_run_goes_on(tmp_path):
    interrupted(tmp_path / "run", steps=STEPS + 1)
    heard = Listener()
    train(tmp_path / "run", Case(), heard)
    assert heard.starts == [(0, 1, 1)]
    assert heard.steps[0].done_images == 16 + 6
    train(tmp_path / "run", Case(), heard)
    assert len(heard.starts) == 1, "a finished run does not start"


def leave_verdicts_on_the_device(monkeypatch):
    def deferred(*parts, **options):
        return Guard(*parts, **{**options, "deferred": True})

    monkeypatch.setattr("sdlora.engine.trainer.Guard", deferred)


def test_verdicts_left_on_the_device_change_no_bit(tmp_path, monkeypatch):
    train(tmp_path / "now", Case())
    leave_verdicts_on_the_device(monkeypatch)
    train(tmp_path / "later", Case())
    assert bits(tmp_path / "later") == bits(tmp_path / "now")


def test_nothing_is_stored_before_its_verdict_was_read(tmp_path, monkeypatch):
    """The second loss is none, and a signal asks to stop and store after that step."""

    class Signal(Observer):
        def on_step(self, report):
            if report.step == 2:
                os.kill(os.getpid(), signal.SIGTERM)

    leave_verdicts_on_the_device(monkeypatch)
    with pytest.raises(NumericalError, match="the loss term cross_entropy is not finite in task 1, epoch 1, step 2"):
        train(tmp_path / "run", Case(), Signal(), Spoiler(Case().make_method, "loss", at=1))
    assert bits(tmp_path / "run")["progress"]["step"] == 0
    train(tmp_path / "run", Case())
    train(tmp_path / "unbroken", Case())
    assert bits(tmp_path / "run") == bits(tmp_path / "unbroken")


def test_hooks_see_the_same_pictures_in_both_views(tmp_path):
    seen = {}
    case = Case(method="probe")

    def make():
        method = case.make_method()
        begin, calls = method.begin_task, []

        def look(name):
            def hook(data):
                train_batches, plain = list(data.train), list(data.plain)
                assert len(data.train) == len(train_batches) == 3
                assert len(data.plain) == len(plain) == 1
                again = list(data.train)
                assert all(torch.equal(one[0], other[0]) for one, other in zip(train_batches, again, strict=True))
                seen.setdefault(name, []).append((train_batches, plain))

            return hook

        method.begin_task = lambda task: (calls.append(task), begin(task))
        method.prepare, method.end_task = look("prepare"), look("end_task")
        return method

    train(tmp_path / "run", case, make_method=make)
    assert [len(seen[name]) for name in ("prepare", "end_task")] == [2, 2]
    for task in range(2):
        batches, plain = seen["prepare"][task]
        labels = torch.cat([one for _, one in batches])
        assert sorted(labels.tolist()) == sorted(plain[0][1].tolist()) == [2 * task] * 8 + [2 * task + 1] * 8
        split = case.stream().train(task)
        first = next(iter(TrainBatches(split, 6, 0, task, 0, split.augment, 16)))
        assert torch.equal(batches[0][0], first[0]), "the augmented view is that of the first epoch"
