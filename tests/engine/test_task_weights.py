"""Weights kept after each task: those that were measured, and no bit of the run changes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch
from reliability.small_run import Case, bits, interrupted, small_stream, train, tree

from sdlora.engine import load_method
from sdlora.engine.device import open_accelerator
from sdlora.engine.evaluate import evaluate
from sdlora.engine.task_weights import load_after_task, save_task_weights
from sdlora.errors import RunError


@dataclass(frozen=True)
class Keeping(Case):
    """A run that keeps them."""

    def options(self):
        return replace(super().options(), keep_task_weights=True)


@pytest.mark.parametrize("name", ["sdlora", "lora", "inflora", "simplecil"])
def test_they_predict_as_was_measured_after_each_task(tmp_path, name):
    case = Keeping(method=name)
    result = train(tmp_path / "run", case)
    before = tree(tmp_path / "run")
    for num_tasks in (1, 2):
        method = load_after_task(case.make_method, case.stream(), tmp_path / "run", num_tasks)
        assert not method.training
        with open_accelerator(case.options()) as accelerator:
            hits, _ = evaluate(method, case.stream(), accelerator, num_seen=2 * num_tasks)
        assert hits == result.hits[num_tasks - 1]
    assert tree(tmp_path / "run") == before


def test_the_last_ones_are_those_of_the_checkpoint(tmp_path):
    case = Keeping()
    train(tmp_path / "run", case)
    kept = load_after_task(case.make_method, case.stream(), tmp_path / "run", 2).state_dict()
    found = load_method(case.make_method, case.stream(), tmp_path / "run").state_dict()
    assert kept.keys() == found.keys()
    assert all(torch.equal(kept[name], found[name]) for name in kept)


def test_the_run_is_the_same_bit_for_bit(tmp_path):
    train(tmp_path / "plain", Case())
    train(tmp_path / "keeping", Keeping())
    assert bits(tmp_path / "plain") == bits(tmp_path / "keeping")
    assert not (tmp_path / "plain" / "weights").exists()
    assert sorted(path.name for path in (tmp_path / "keeping" / "weights").iterdir()) == [
        "001.safetensors",
        "002.safetensors",
    ]


@pytest.mark.parametrize("steps", [3, 7])
def test_a_run_that_was_killed_keeps_the_same_ones(tmp_path, steps):
    train(tmp_path / "whole", Keeping())
    train(interrupted(tmp_path / "killed", Keeping(), steps), Keeping())
    for name in ("001.safetensors", "002.safetensors"):
        assert (tmp_path / "killed/weights" / name).read_bytes() == (tmp_path / "whole/weights" / name).read_bytes()


def test_what_was_not_kept_or_is_damaged_is_refused(tmp_path):
    case = Case()
    train(tmp_path / "run", case)
    with pytest.raises(RunError, match=r"kept no weights of task 1\nFix: train with run\.keep_task_weights=true"):
        load_after_task(case.make_method, case.stream(), tmp_path / "run", 1)
    method = load_method(case.make_method, small_stream(), tmp_path / "run")
    save_task_weights(tmp_path / "run", method, 2)
    path = tmp_path / "run/weights/002.safetensors"
    with pytest.raises(RunError, match="does not fit the method"):
        load_after_task(Case(method="lora").make_method, case.stream(), tmp_path / "run", 2)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunError, match=r"002\.safetensors is damaged"):
        load_after_task(case.make_method, case.stream(), tmp_path / "run", 2)
