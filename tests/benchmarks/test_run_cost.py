"""The benchmark of whole runs at a tiny size; no time is asserted."""

import json

import pytest
import torch
from torch import nn

from benchmarks import run_cost
from benchmarks.run_cost import PerDirection, Row, Stopwatch, curve, run, table
from benchmarks.subjects import task
from sdlora.backbones.vit import load_backbone
from sdlora.methods import METHODS

TINY = ["--model", "untrained_vit", "--tasks", "5", "--images", "8", "--batch", "4", "--rank", "2", "--device", "cpu"]


@pytest.mark.slow
def test_three_runs_leave_rows_and_a_curve(tmp_path, capsys):
    run_cost.main([*TINY, "--threads", "1", "--svg", str(tmp_path / "c.svg"), "--json", str(tmp_path / "rows.json")])
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert [row["method"] for row in rows] == ["sdlora", "loop", "lora"]
    for row in rows:
        assert len(row["step_seconds"]) == 5
        assert 0 < sum(row["step_seconds"]) < row["seconds"]
        assert row["peak_bytes"] > 50e6
    assert (tmp_path / "c.svg").read_text().count("<path") > 10
    assert [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()[1:]] == list(run_cost.NAMES.values())


@pytest.mark.parametrize("name", ["sdlora", "loop"])
def test_a_run_reaches_its_last_task(name):
    row = run(name, run_cost.parse([*TINY, "--threads", "1", "--tasks", "2"]))
    assert row.method == name
    assert len(row.step_seconds) == 2


def test_the_loop_learns_what_the_folded_form_learns():
    images, labels = torch.rand(6, 3, 16, 16), 20 + torch.arange(6)
    found = []
    for kind in (METHODS.get("sdlora"), PerDirection):
        torch.manual_seed(0)
        method = kind(load_backbone("untrained_vit"), rank=2)
        for number in (1, 2, 3):
            method.begin_task(task(number))
            for part in method.adapters.directions:
                nn.init.normal_(part.lora_B)
        loss = method.losses(images, labels)["cross_entropy"]
        parameters = [p for group in method.param_groups() for p in group["params"]]
        found.append([loss, method(images), *torch.autograd.grad(loss, parameters)])
    for folded, loop in zip(*found, strict=True):
        assert torch.allclose(folded, loop, rtol=1e-4, atol=1e-6)


class Report:
    def __init__(self, task, step):
        self.task, self.step = task, step


def test_the_first_step_of_an_epoch_is_not_timed():
    watch, times = Stopwatch("wall"), iter(range(100))
    watch.read = lambda: next(times)
    for index in (0, 1):
        for step in (1, 2, 3, 1, 2, 3):
            watch.on_step(Report(index, step))
    assert {index: len(own) for index, own in watch.steps.items()} == {0: 4, 1: 4}
    assert set(watch.steps[1]) == {1}, "the time between the steps, without the watch's own"


def test_table_and_curve_show_every_fifth_task():
    rows = [Row(name, 2.0, 3.0, 2**20, [0.001 * n for n in range(1, 13)]) for name in run_cost.NAMES]
    lines = table(rows, "wall")
    assert lines[0].split()[-3:] == ["1", "5", "10"]
    assert lines[1].split() == ["SD-LoRA", "2.0", "3.0", "1", "1.0", "5.0", "10.0"]
    assert curve(rows, "wall").startswith(b"<?xml")
