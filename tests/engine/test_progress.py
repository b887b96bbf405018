"""Where a run is goes into JSON and back; clocks go on."""

from __future__ import annotations

import json
import time

import pytest
import torch

from sdlora.engine.progress import Clock, Observer, Progress


def test_it_goes_into_json_and_back():
    at = Progress(task=2, phase="train", epoch=1, hits=[[3, None]], totals=[[4, None]])
    at.add({"fit": torch.tensor(0.5), "penalty": torch.tensor(2.0)}, 6)
    at.add({"fit": torch.tensor(1.5), "penalty": torch.tensor(0.0)}, 2)
    stored = json.loads(json.dumps(at.to_json()))
    found = Progress.from_json(stored, at.sums)
    assert found.sums == {"fit": torch.tensor(6.0), "penalty": torch.tensor(12.0)}
    for name in ("task", "phase", "epoch", "step", "images", "hits", "totals"):
        assert getattr(found, name) == getattr(at, name)
    assert (found.step, found.images) == (2, 8)
    assert found.clock.read()["run"] >= stored["seconds"]["run"]


def test_epochs_and_tasks_begin_empty():
    at = Progress(phase="train", trained_parameters=7)
    at.add({"fit": torch.tensor(0.5)}, 6)
    at.next_epoch()
    assert (at.epoch, at.step, at.images, at.sums) == (1, 0, 0, {})
    at.phase = "evaluate"
    assert at.num_begun == 1
    at.next_task()
    assert (at.task, at.phase, at.epoch, at.trained_parameters, at.num_begun) == (1, "begin", 0, 0, 1)


def test_sums_keep_no_graph():
    at = Progress()
    at.add({"fit": torch.tensor(1.0, requires_grad=True) * 2}, 3)
    assert not at.sums["fit"].requires_grad


def test_clocks_go_on():
    clock = Clock({"run": 100.0})
    time.sleep(0.01)
    assert 100.01 <= clock.read()["run"] < 101
    reached = clock.restart("epoch")
    assert 0.01 <= reached < 1
    assert clock.read()["epoch"] < reached
    assert clock.read()["run"] == pytest.approx(100, abs=1)


def test_an_observer_may_ignore_everything():
    observer = Observer()
    observer.on_start(Progress())
    observer.on_epoch({})
    observer.on_task({})
    observer.on_warning("")
