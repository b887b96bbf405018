"""From a run folder back to a method."""

from __future__ import annotations

import pytest
import torch
from reliability.small_run import IMAGE_SIZE, Case, interrupted, small_stream, train, tree

from sdlora.engine import load_method
from sdlora.engine.device import open_accelerator
from sdlora.engine.evaluate import evaluate
from sdlora.errors import RunError


@pytest.mark.parametrize("name", ["finetune", "inflora", "joint", "sdlora", "simplecil"])
def test_it_predicts_as_it_was_measured(tmp_path, name):
    case = Case(method=name)
    result = train(tmp_path / "run", case)
    before = tree(tmp_path / "run")
    torch.manual_seed(4)
    expected = torch.rand(1)
    torch.manual_seed(4)
    method = load_method(case.make_method, case.stream(), tmp_path / "run")
    assert torch.equal(torch.rand(1), expected), "nobody's random numbers change"
    assert not method.training
    with open_accelerator(case.options()) as accelerator:
        assert evaluate(method, case.stream(), accelerator, num_seen=4) == (result.hits[-1], result.totals[-1])
    assert tree(tmp_path / "run") == before


def test_an_unfinished_run_gives_what_it_has(tmp_path):
    interrupted(tmp_path / "run")
    method = load_method(Case().make_method, small_stream(), tmp_path / "run")
    assert method(torch.zeros(1, 3, IMAGE_SIZE, IMAGE_SIZE)).shape == (1, 2)


def test_what_is_no_run_or_another_is_refused(tmp_path):
    with pytest.raises(RunError, match="holds no checkpoint"):
        load_method(Case().make_method, small_stream(), tmp_path)
    train(tmp_path / "run", Case(method="probe"))
    with pytest.raises(RunError, match="does not fit the method"):
        load_method(Case(method="lora").make_method, small_stream(), tmp_path / "run")
