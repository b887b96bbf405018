"""Costs measured after the fact are those of the run, but for times."""

from __future__ import annotations

import json

import pytest
from reliability.small_run import Case, train, without_times

from sdlora.errors import ConfigError
from sdlora.methods import METHODS
from sdlora.reports.comparison import compare
from sdlora.reports.measuring import measure_entry
from sdlora.reports.runs import load_runs


def entry_of(folder):
    (comparison,) = compare(load_runs([folder]))
    (entry,) = comparison.entries
    return entry


@pytest.mark.parametrize("name", METHODS.names())
def test_without_training_again(tmp_path, name):
    train(tmp_path / "run", Case(method=name))
    path = tmp_path / "run" / "cost.json"
    in_run = without_times(json.loads(path.read_text()))
    path.unlink()
    assert entry_of(tmp_path).cost is None
    assert measure_entry(entry_of(tmp_path)) == path
    afterwards = without_times(json.loads(path.read_text()))
    assert (in_run.pop("measured_on"), afterwards.pop("measured_on")) == ("run", "made-up pictures")
    assert afterwards == in_run
    assert entry_of(tmp_path).cost.flops == in_run["flops"]


def test_options_and_seed_of_the_run_count(tmp_path):
    case = Case(method="l2p", method_options={"pool_size": 3, "num_selected": 2, "prompt_length": 4})
    train(tmp_path / "run", case)
    path = tmp_path / "run" / "cost.json"
    flops = json.loads(path.read_text())["flops"]
    measure_entry(entry_of(tmp_path))
    assert json.loads(path.read_text())["flops"] == flops


def test_a_method_of_another_installation_cannot_be_measured(small):
    small.add("from_elsewhere", 0)
    with pytest.raises(ConfigError, match="from_elsewhere"):
        measure_entry(entry_of(small.root))
