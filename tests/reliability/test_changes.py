"""R5, T3: a run goes on only as what it was; every difference is listed, and what cannot matter may change."""

from __future__ import annotations

import json
from dataclasses import replace
from importlib import import_module

import pytest
import torch
from reliability.small_run import Case, Warnings, bits, interrupted, train, tree

from sdlora.engine import manifest
from sdlora.errors import RunError

CASE = Case()
FIT = import_module("sdlora.engine.fit")  # the package exports the function under the same name

MUTATIONS = {
    "learning rate": (Case(lr=0.01), "optim.lr = 0.005; now 0.01"),
    "epochs": (Case(epochs=3), "optim.epochs = 2; now 3"),
    "batch size": (Case(batch_size=8), "optim.batch_size = 6; now 8"),
    "optimiser": (Case(optim="sgd"), 'optim.name = "adamw"; now "sgd"'),
    "schedule": (Case(schedule="constant"), 'optim.schedule = "cosine"; now "constant"'),
    "seed": (Case(seed=1), "seed = 0; now 1"),
    "method": (Case(method="lora"), 'method.name = "sdlora"; now "lora"'),
    "option of the method": (Case(method_options={"rank": 4}), "method.rank = absent; now 4"),
    "class order": (Case(class_order=3), "stream.digest = "),
    "data": (Case(data_seed=1), "stream.digest = "),
    "backbone": (Case(backbone_seed=1), "backbone.sha256 = "),
    "precision": (Case(precision="bf16"), 'dtype = "float32"; now "bfloat16"'),
}


@pytest.fixture(scope="module")
def unbroken(module_place):
    train(module_place / "run", CASE)
    return bits(module_place / "run")


@pytest.fixture
def halfway(place):
    return interrupted(place / "run")


@pytest.mark.parametrize("name", MUTATIONS)
def test_r5_another_run_is_refused(halfway, name):
    case, difference = MUTATIONS[name]
    before = tree(halfway)
    with pytest.raises(RunError, match="was made with") as caught:
        train(halfway, case)
    assert difference in str(caught.value)
    assert "Fix: " in str(caught.value)
    assert tree(halfway) == before


def test_r5_all_differences_are_listed(halfway):
    with pytest.raises(RunError) as caught:
        train(halfway, replace(CASE, lr=0.01, seed=4, epochs=9, method="lora"))
    for difference in ("optim.lr = 0.005; now 0.01", "seed = 0; now 4", "optim.epochs = 2; now 9", 'now "lora"'):
        assert difference in str(caught.value)


def test_r5_a_finished_run_is_not_taken_for_another(place):
    train(place / "run", CASE)
    before = tree(place / "run")
    with pytest.raises(RunError, match=r"optim\.lr"):
        train(place / "run", replace(CASE, lr=0.01))
    assert tree(place / "run") == before


@pytest.mark.parametrize("changed", ["world_size", "device"])
def test_r5_another_machine_is_refused(halfway, monkeypatch, changed):
    describe = manifest.describe
    monkeypatch.setattr(FIT, "describe", lambda *parts: describe(*parts) | {changed: 2})
    with pytest.raises(RunError, match=rf"{changed} = .*; now 2"):
        train(halfway, CASE)


@pytest.mark.parametrize(
    "changes",
    [{"checkpoint_seconds": 1e9}, {"checkpoint_seconds": 0.01}, {"output_dir": "elsewhere"}],
    ids=["rarer checkpoints", "other checkpoints", "other place"],
)
def test_r5_what_cannot_matter_may_change(halfway, unbroken, changes):
    train(halfway, replace(CASE, **changes))
    assert bits(halfway) == unbroken


def test_r5_the_folder_may_move(halfway, unbroken, place):
    halfway.rename(place / "elsewhere")
    train(place / "elsewhere", CASE)
    assert bits(place / "elsewhere") == unbroken


def test_t3_other_surroundings_are_said(halfway, unbroken, monkeypatch):
    observer = Warnings()
    describe = manifest.describe

    def elsewhere(*parts):
        made = describe(*parts)
        return made | {"threads": 64, "versions": made["versions"] | {"torch": "9.9"}}

    monkeypatch.setattr(FIT, "describe", elsewhere)
    train(halfway, CASE, observer)
    assert [message.partition(":")[0] for message in observer.messages] == [
        "threads = 1; now 64",
        f'versions.torch = "{manifest.metadata.version("torch")}"; now "9.9"',
    ]
    assert bits(halfway) == unbroken


def test_t3_the_manifest_tells_what_the_bits_depend_on(place):
    train(place / "run", CASE)
    told = json.loads((place / "run" / "manifest.json").read_text())
    assert told["versions"]["torch"] == manifest.metadata.version("torch")
    assert told["threads"] == torch.get_num_threads()
    assert (told["device"], told["dtype"], told["world_size"], told["seed"]) == ("cpu", "float32", 1, 0)
    assert told["flags"]["deterministic"] is True
    assert told["flags"]["matmul_precision"] == "highest"
    assert {"cudnn_tf32", "sdpa_flash", "sdpa_math", "cublas_workspace"} <= told["flags"].keys()
    assert told["backbone"] == {"name": "untrained_vit", "sha256": CASE.make_method().backbone.sha256}
    assert told["stream"]["digest"] == CASE.stream().digest
    assert told["stream"]["tasks"] == [["stripes 0", "stripes 1"], ["stripes 2", "stripes 3"]]
    assert told["method"] == {"name": "sdlora", "options": {}}
    assert told["hardware"]["cores"]
    assert told["status"] == "finished"
    assert told["started"] <= told["finished"]
