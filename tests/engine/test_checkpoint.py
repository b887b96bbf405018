"""Storing and loading; damage and kills are in tests/reliability."""

from __future__ import annotations

import pytest
import torch
from teaching import make_tasks, teach
from torch import nn

from sdlora.backbones.vit import load_backbone
from sdlora.engine.checkpoint import LARGEST, Checkpoint, Checkpoints, check_weights, load_state, stored_state
from sdlora.engine.progress import Progress
from sdlora.errors import NumericalError, RunError, StorageError
from sdlora.files import json_bytes, remove_folder, tensor_bytes, write_folder
from sdlora.methods import METHODS
from sdlora.task import Task

TASK = Task(0, ("a", "b"), 0)


def make(number, **tensors):
    state = {"description": {"number": number}, "progress": Progress(task=number).to_json()}
    return Checkpoint(state, tensors, b"rows\n" * number)


def method(name):
    torch.manual_seed(0)
    made = METHODS.get(name)(load_backbone("untrained_vit"))
    made.begin_task(TASK)
    return made


def test_the_newest_comes_back(tmp_path):
    checkpoints = Checkpoints(tmp_path / "checkpoint")
    assert checkpoints.newest() == (None, [])
    checkpoints.save(make(1, **{"method.x": torch.ones(2), "optimizer.0.step": torch.tensor(3.0)}))
    checkpoints.save(make(2, **{"method.x": torch.zeros(2), "sums.loss": torch.tensor(4.0)}))
    found, problems = Checkpoints(tmp_path / "checkpoint").newest()
    assert problems == []
    assert found.state["description"] == {"number": 2}
    assert found.metrics == b"rows\nrows\n"
    assert torch.equal(found.part("method")["x"], torch.zeros(2))
    assert found.part("optimizer") == {}
    assert found.progress.task == 2
    assert found.progress.sums == {"loss": torch.tensor(4.0)}


def test_two_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    for number in range(5):
        checkpoints.save(make(number))
        assert sorted(path.name for path in tmp_path.iterdir()) == [
            f"{n:06d}" for n in range(max(0, number - 1), number + 1)
        ]


def test_a_damaged_one_is_none_of_the_two(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(make(0))
    checkpoints.save(make(1))
    (tmp_path / "000001" / "state.json").unlink()
    checkpoints.newest()
    checkpoints.save(make(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000000", "000002"]


def test_numbers_go_on_beyond_six_digits(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(make(0))
    (tmp_path / "000000").rename(tmp_path / "999999")
    checkpoints.save(make(1))
    checkpoints.save(make(2))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["1000000", "1000001"]
    assert checkpoints.newest()[0].state["description"] == {"number": 2}


def test_one_that_does_not_read_back_costs_no_older_one(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(make(0))
    checkpoints.save(make(1))

    def spoil(path, files):
        write_folder(path, files)
        (path / "state.json").write_bytes(b"")

    with monkeypatch.context() as patch:
        patch.setattr("sdlora.engine.checkpoint.write_folder", spoil)
        with pytest.raises(StorageError, match="does not read back"):
            checkpoints.save(make(2))
    found, problems = Checkpoints(tmp_path).newest()
    assert len(problems) == 1
    assert found.state["description"] == {"number": 1}
    assert len(list(tmp_path.iterdir())) == 3


def test_a_checkpoint_of_a_newer_version_is_refused(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(make(0))
    remove_folder(tmp_path / "000000")
    files = {
        "state.json": json_bytes({"format": 2}),
        "tensors.safetensors": tensor_bytes({}),
        "metrics.jsonl": b"",
    }
    write_folder(tmp_path / "000001", files)
    with pytest.raises(RunError, match="000001 has format 2"):
        checkpoints.newest()
    write_folder(tmp_path / "000002", {"state.json": files["state.json"], "other": b""})
    with pytest.raises(RunError, match="000002 has format 2"):
        checkpoints.newest()


def test_a_checkpoint_that_lacks_a_file_is_damaged(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(make(0))
    write_folder(tmp_path / "000001", {"state.json": json_bytes({"format": 1}), "metrics.jsonl": b""})
    found, problems = checkpoints.newest()
    assert found.state["description"] == {"number": 0}
    assert problems == [f"{tmp_path / '000001' / 'manifest.json'} does not list 'tensors.safetensors'"]


@pytest.mark.parametrize("name", METHODS.names())
def test_what_is_stored_is_all_but_frozen_pretrained_weights(name):
    made = method(name)
    pretrained = {f"backbone.model.{key}" for key, _ in load_backbone("untrained_vit").model.named_parameters()}
    kept = stored_state(made).keys()
    left_out = made.state_dict().keys() - kept
    frozen = {key for key, p in made.named_parameters() if not p.requires_grad}
    assert left_out == {key for key in frozen if key.startswith("backbone.")}
    if name in ("finetune", "joint"):
        assert pretrained <= kept
    else:
        assert not pretrained & kept
        assert len(left_out) >= len(pretrained)


def test_state_goes_into_a_method_that_was_replayed():
    one, other = method("lora"), method("lora")
    with torch.no_grad():
        for parameter in one.parameters():
            if parameter.requires_grad:
                parameter.add_(1)
    load_state(other, {key: value.clone() for key, value in stored_state(one).items()})
    for key, value in one.state_dict().items():
        assert torch.equal(other.state_dict()[key], value)


def test_state_comes_back_where_a_direction_was_dropped():
    def new():
        return METHODS.get("sdlora")(load_backbone("untrained_vit"), preset="continuous", distill_threshold=1.0)

    tasks = make_tasks(2, 2)
    one, other = teach(new(), tasks), new()
    for task in tasks:
        other.begin_task(task)
    state = {key: value.clone() for key, value in stored_state(one).items()}
    assert any(not value.numel() for name, value in state.items() if name.endswith("lora_A"))
    load_state(other, state)
    images = torch.rand(3, 3, 16, 16)
    assert torch.equal(one(images), other(images))


def test_state_of_another_shape_is_refused_and_changes_nothing():
    made = method("probe")
    state = {key: value.clone() + 1 for key, value in stored_state(made).items()}
    before = {key: value.clone() for key, value in made.state_dict().items()}
    weight, bias = sorted(state, reverse=True)
    wrong = {
        "is missing": {weight: state[weight]},
        "is unknown": {**state, "extra": torch.ones(1)},
        r"is torch.float32 \(1, 1\), not torch.float32 \(2, 32\)": {**state, weight: torch.ones(1, 1)},
        "is torch.float64": {**state, bias: state[bias].double()},
    }
    for reason, tensors in wrong.items():
        with pytest.raises(RunError, match=reason):
            load_state(made, tensors)
    for key, value in made.state_dict().items():
        assert torch.equal(before[key], value)


class Holder(nn.Module):
    """A stand-in for a method with a learned parameter, a buffer and a count."""

    def __init__(self, learned=1.0, buffer=1.0):
        super().__init__()
        self.learned = nn.Parameter(torch.tensor([0.0, learned]))
        self.register_buffer("sums", torch.tensor([buffer]))
        self.register_buffer("count", torch.tensor(3))
        self.register_buffer("none", torch.zeros(0))


@pytest.mark.parametrize(
    ("holder", "message"),
    [
        (Holder(learned=float("nan")), "learned has reached nan"),
        (Holder(learned=float("-inf")), "learned has reached inf"),
        (Holder(learned=-2 * LARGEST), r"learned has reached 2e\+04"),
        (Holder(buffer=float("nan")), "sums has reached nan"),
        (Holder(buffer=float("inf")), "sums has reached inf"),
    ],
)
def test_weights_that_are_none_are_refused(holder, message):
    with pytest.raises(NumericalError, match=message) as caught:
        check_weights(holder)
    assert caught.value.exit_code == 8


def test_weights_within_bounds_pass():
    check_weights(Holder(learned=-LARGEST, buffer=1e30))
    check_weights(nn.Identity())
