"""E5: too little room is said before the first step; the estimate is what a run really takes."""

import os
import shutil
from collections import namedtuple
from dataclasses import replace

import pytest
import torch
from reliability.faults import Calls
from reliability.small_run import Case, Observer, bits, small_stream

from sdlora import files
from sdlora.backbones.vit import load_backbone
from sdlora.engine import fit, space
from sdlora.errors import StorageError
from sdlora.methods import METHODS

Usage = namedtuple("Usage", "total used free")


def make(name):
    return lambda: METHODS.get(name)(load_backbone("untrained_vit", width=96))


def size_of(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("name", "case", "changes"),
    [
        ("finetune", Case(), {}),
        ("finetune", Case(optim="sgd"), {}),
        ("lora", Case(), {"keep_task_weights": True}),
        ("sdlora", Case(optim="adam"), {}),
        ("ranpac", Case(), {}),
    ],
)
def test_the_estimate_is_what_a_run_takes_at_most(tmp_path, monkeypatch, name, case, changes):
    options, sizes = replace(case.options(), epochs=4, **changes), []
    monkeypatch.setattr(files, "os", Calls(lambda number, call: sizes.append(size_of(tmp_path / "run"))))
    fit(make(name), small_stream(), options, tmp_path / "run", recipe={})
    needed = space.bytes_needed(make(name)(), small_stream(), options)
    assert max(sizes) <= needed
    assert needed - 3 * space.SMALL_FILES <= 1.05 * max(sizes)


class Steps(Observer):
    count = 0

    def on_step(self, report):
        self.count += 1


def test_too_little_room_is_said_before_the_first_step(tmp_path, monkeypatch):
    case, folder, steps = Case(), tmp_path / "run", Steps()
    options = case.options()
    needed = space.bytes_needed(case.make_method(), small_stream(), options)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 0, needed - 1000) if path == folder else None)
        with pytest.raises(StorageError, match=rf"needs about [\d,]+ more bytes in .*run; {needed - 1000:,} are free"):
            fit(case.make_method, small_stream(), options, folder, recipe={}, observer=steps)
        assert steps.count == 0
        assert [path.name for path in folder.iterdir()] == [".lock"]
        patch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 0, needed))
        fit(case.make_method, small_stream(), options, folder, recipe={})
        fit(case.make_method, small_stream(), options, folder, recipe={})  # finished: needs nothing
    fit(case.make_method, small_stream(), options, tmp_path / "other", recipe={})
    assert bits(folder) == bits(tmp_path / "other")


def test_a_store_that_does_not_know_its_size_is_tried(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(0, 0, 0))
    space.check_space(Case().make_method(), small_stream(), Case().options(), tmp_path)


def test_what_the_folder_holds_counts_as_room(tmp_path, monkeypatch):
    case = Case()
    needed = space.bytes_needed(case.make_method(), small_stream(), case.options())
    (tmp_path / "held").write_bytes(bytes(1000))
    for free, is_enough in ((needed - 1000, True), (needed - 1001, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda path, free=free: Usage(10**9, 0, free))
        if is_enough:
            space.check_space(case.make_method(), small_stream(), case.options(), tmp_path)
        else:
            with pytest.raises(StorageError, match="Fix: make room"):
                space.check_space(case.make_method(), small_stream(), case.options(), tmp_path)
    assert os.listdir(tmp_path) == ["held"]


@pytest.mark.parametrize("name", METHODS.names())
def test_the_method_and_the_generators_stay_as_they_are(name):
    method = make(name)()
    before, state = {key: value.clone() for key, value in method.state_dict().items()}, torch.get_rng_state()
    space.bytes_needed(method, small_stream(), Case().options())
    assert method.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
