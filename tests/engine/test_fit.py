"""The order of the hooks, the result, and methods that train little or nothing."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import pytest
import torch
from reliability.small_run import Case, bits, manifest, small_stream, train

from sdlora.engine import OptimOptions, evaluate, fit, load_method
from sdlora.engine.checkpoint import Checkpoints
from sdlora.engine.device import open_accelerator
from sdlora.engine.metric_log import read_rows
from sdlora.methods import METHODS


def test_hooks_come_in_order(tmp_path):
    case, calls = Case(method="probe"), []

    def make():
        calls.append("construct")
        method = case.make_method()
        for name in ("begin_task", "prepare", "param_groups", "losses", "end_task", "forward", "report"):
            setattr(method, name, spy(name, getattr(method, name)))
        return method

    def spy(name, hook):
        def call(*arguments):
            calls.append(name)
            return hook(*arguments)

        return call

    train(tmp_path / "run", case, make_method=make)
    task = ["begin_task", "prepare", "param_groups", *["losses"] * 6, "end_task"]
    taught = ["construct", *task, "forward", "report", *task, "forward", "forward", "report"]
    assert calls[: len(taught)] == taught
    assert calls[len(taught) : len(taught) + 3] == ["construct", "param_groups", "losses"]  # the measurement of costs
    assert set(calls[len(taught) + 3 :]) == {"forward"}


def test_every_hook_draws_numbers_of_its_own(tmp_path):
    case = Case(method="probe")

    def drawn(folder):
        numbers = []

        def make():
            numbers.append(float(torch.rand(1)))
            method = case.make_method()
            for name in ("begin_task", "prepare", "param_groups", "losses", "end_task", "report"):
                setattr(method, name, drawing(getattr(method, name)))
            return method

        def drawing(hook):
            def call(*arguments):
                numbers.append(float(torch.rand(1)))
                return hook(*arguments)

            return call

        train(folder, case, make_method=make)
        return numbers

    first = drawn(tmp_path / "first")
    torch.manual_seed(17)
    assert drawn(tmp_path / "second") == first
    assert len(first) == len(set(first)) == 1 + 2 * (5 + 6) + 3  # at the end costs are measured


def test_the_result_is_what_the_method_measures(tmp_path):
    case = Case()
    result = train(tmp_path / "run", case)
    assert result.status == "finished"
    assert result.folder == tmp_path / "run"
    assert [[value is None for value in row] for row in result.hits] == [[False, True], [False, False]]
    method = load_method(case.make_method, case.stream(), result.folder)
    with open_accelerator(case.options()) as accelerator:
        assert evaluate(method, case.stream(), accelerator, num_seen=4)[0] == result.hits[-1]


def test_it_learns(tmp_path):
    """Sixteen images and twenty passes are enough for stripes; what was learned first is then forgotten or not."""
    result = train(tmp_path / "run", Case(method="lora", epochs=20))
    assert [row[position] for position, row in enumerate(result.hits)] == [8, 8]
    losses = [row["loss"] for row in read_rows(tmp_path / "run" / "metrics.jsonl") if row["event"] == "epoch"]
    assert losses[19] < 0.1 * losses[0]


def test_joint_learns_everything_at_once(tmp_path):
    case = Case(method="joint", epochs=20)
    result = train(tmp_path / "run", case)
    assert result.totals == [[8, 8]]
    assert sum(result.hits[0]) >= 14
    assert manifest(tmp_path / "run")["stream"]["tasks"] == [list(group.classes) for group in small_stream().groups]
    joined = small_stream().joined()
    again = fit(case.make_method, joined, case.options(), tmp_path / "joined", recipe=case.recipe())
    assert again.hits == result.hits
    assert bits(tmp_path / "joined")["tensors"] == bits(tmp_path / "run")["tensors"]


def test_a_method_without_training_only_sees_its_hooks(tmp_path):
    result = train(tmp_path / "run", Case(method="simplecil"))
    rows = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert [row["event"] for row in rows] == ["task", "task", "end"]
    assert [row["trained_parameters"] for row in rows[:2]] == [0, 0]
    assert sum(result.hits[-1]) >= 12


def test_a_method_may_train_on_its_first_task_alone(tmp_path):
    train(tmp_path / "run", Case(method="ranpac"))
    rows = read_rows(tmp_path / "run" / "metrics.jsonl")
    assert [(row["event"], row.get("task")) for row in rows] == [
        ("epoch", 0),
        ("epoch", 0),
        ("task", 0),
        ("task", 1),
        ("end", None),
    ]
    assert rows[2]["trained_parameters"] > 0
    assert rows[3]["trained_parameters"] == 0


def test_a_method_may_say_how_many_epochs_it_needs(tmp_path):
    case = Case(method="probe")

    def make():
        method = case.make_method()
        method.num_epochs = 1
        return method

    train(tmp_path / "run", case, make_method=make)
    assert [row["event"] for row in read_rows(tmp_path / "run" / "metrics.jsonl")].count("epoch") == 2


@pytest.mark.parametrize("method", METHODS.names())
def test_bf16(tmp_path, method):
    case = Case(method=method, precision="bf16")
    result = train(tmp_path / "run", case)
    assert result.status == "finished"
    assert manifest(tmp_path / "run")["dtype"] == "bfloat16"
    made = load_method(case.make_method, case.stream(), tmp_path / "run")
    assert all(value.dtype != torch.bfloat16 for value in made.state_dict().values())


@pytest.mark.parametrize("name", ["sgd", "adam", "adamw"])
def test_every_optimiser(tmp_path, name):
    case = Case(method="lora")
    options = replace(case.options(), optim=OptimOptions(name=name, lr=1e-3, clip_norm=1.0))
    assert fit(case.make_method, case.stream(), options, tmp_path / "run", recipe={}).status == "finished"


def test_seeds_differ_and_repeat(tmp_path):
    for name, seed in (("one", 1), ("again", 1), ("two", 2)):
        train(tmp_path / name, Case(seed=seed))
    assert bits(tmp_path / "one") == bits(tmp_path / "again")
    assert bits(tmp_path / "one")["tensors"] != bits(tmp_path / "two")["tensors"]


def test_tasks_keep_their_own_index(tmp_path):
    """A stream may begin in the middle, with a method that has learned what came before."""
    case = Case(method="probe")
    whole = case.stream()

    def second():
        method = case.make_method()
        method.begin_task(whole.tasks[0])
        return method

    rest = replace(whole, tasks=whole.tasks[1:], groups=whole.groups)
    result = fit(second, rest, case.options(), tmp_path / "rest", recipe={})
    assert result.totals == [[8, 8]]
    train(tmp_path / "whole", case)
    key = "method.head.blocks.1.weight"
    assert bits(tmp_path / "rest")["tensors"][key] == bits(tmp_path / "whole")["tensors"][key]


def test_a_stop_during_a_test_stores_the_adapters_not_their_merger(tmp_path):
    case = Case(method="sdlora")
    train(tmp_path / "whole", case)

    def make():
        method = case.make_method()
        predict, calls = method.forward, []

        def forward(images):
            calls.append(len(images))
            if len(calls) == 2:  # of three: one test of the first group, then one of each
                os.kill(os.getpid(), signal.SIGTERM)
            return predict(images)

        method.forward = forward
        return method

    assert train(tmp_path / "stopped", case, make_method=make).exit_code == 143
    assert Checkpoints(tmp_path / "stopped" / "checkpoint").newest()[0].progress.phase == "evaluate"
    assert train(tmp_path / "stopped", case).exit_code == 0
    assert bits(tmp_path / "stopped") == bits(tmp_path / "whole")
