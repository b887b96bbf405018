"""What a finished run tells of costs and confusions, also when it was interrupted."""

from __future__ import annotations

import json

import pytest
from reliability.small_run import IMAGE_SIZE, Case, interrupted, train, without_times

from sdlora.errors import NumericalError
from sdlora.methods import METHODS

pytestmark = pytest.mark.slow


def cost_of(folder):
    return json.loads((folder / "cost.json").read_text())


@pytest.mark.parametrize("name", METHODS.names())
def test_a_run_measures_what_is_declared(tmp_path, name):
    train(tmp_path, Case(method=name))
    cost, facts = cost_of(tmp_path), METHODS.get(name).facts
    assert (cost["format"], cost["measured_on"]) == (1, "run")
    for claim in ("rehearsal_free", "one_pass", "end_to_end"):
        assert cost[claim] == getattr(facts, claim), (claim, cost)


def test_joint_training_keeps_all_pictures(tmp_path):
    train(tmp_path, Case(method="joint"))
    assert cost_of(tmp_path)["kept_bytes"]["samples"] == 4 * 8 * 3 * IMAGE_SIZE**2


def test_confusions_agree_with_the_matrix(tmp_path):
    result = train(tmp_path)
    confusion = json.loads((tmp_path / "confusion.json").read_text())
    counts = confusion["counts"]
    assert confusion["format"] == 1
    assert [len(row) for row in counts] == [4] * 4
    assert sum(counts[k][k] for k in range(4)) == sum(result.hits[-1])
    assert sum(map(sum, counts)) == sum(result.totals[-1])
    assert (tmp_path / "confusion.json").read_text().count("\n") == 6  # a line for each class


def test_an_interrupted_run_tells_the_same(tmp_path):
    train(tmp_path / "unbroken")
    assert not (interrupted(tmp_path / "broken") / "cost.json").exists()
    assert not (tmp_path / "broken" / "confusion.json").exists()
    train(tmp_path / "broken")
    assert (tmp_path / "broken/confusion.json").read_bytes() == (tmp_path / "unbroken/confusion.json").read_bytes()
    assert without_times(cost_of(tmp_path / "broken")) == without_times(cost_of(tmp_path / "unbroken"))


def test_a_run_that_died_while_measuring_measures_again(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise NumericalError("made up")

    with monkeypatch.context() as patch:
        patch.setattr("sdlora.engine.costing.measure", fail)
        with pytest.raises(NumericalError):
            train(tmp_path)
    assert not (tmp_path / "cost.json").exists()
    assert train(tmp_path).status == "finished"
    assert cost_of(tmp_path)["passes"] == 1.0
