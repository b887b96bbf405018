import json
import shutil
from pathlib import Path

import pytest
from shops import AUTUMN, SPRING, write_pictures

from sdlora.learner import Learner


@pytest.fixture(scope="module")
def taught(tmp_path_factory):
    """A model whose method has ranks and magnitudes."""
    root = tmp_path_factory.mktemp("taught")
    learner = Learner(method="sdlora", rank=2, layers=None, adapt_tasks=None, device="cpu")
    for name, classes in (("spring", (*SPRING, "orchid")), ("autumn", AUTUMN)):
        learner.learn(write_pictures(root / name, dict.fromkeys(classes, 5)), epochs=1)
    learner.save(root / "shop")
    return root


def test_a_heading_and_a_line_for_each_lesson(sdlora, taught, monkeypatch):
    monkeypatch.chdir(taught)
    answer = sdlora("inspect", "shop")
    assert (answer.code, answer.err) == (0, "")
    config = json.loads(Path("shop/config.json").read_text())
    learner = Learner.load("shop")
    magnitudes = learner.method.report()["magnitudes"]
    whole, backbone, learned, names, *lessons = answer.out.splitlines()
    assert whole == (
        f"shop   6 classes in 2 lessons, sdlora rank 2, version {learner.model_version}, format 1; "
        "files complete, hashes match"
    )
    assert backbone.startswith(f"backbone glyph_vit (sha256 {config['backbone']['sha256'][:8]}), 3.02 M, comes with")
    assert learned.endswith(f"MB in {config['weights']['file']}")
    assert names.split() == ["lesson", "date", "classes", "images", "from", "held-out", "then", "rank", "magnitude"]
    assert lessons[0].split()[2:8] == ["daisy,", "orchid,", "rose", "+1", "20", "spring"]
    assert [line.split()[-2:] for line in lessons] == [["2", f"{value:.2f}"] for value in magnitudes]
    assert len({len(line) for line in (names, *lessons)}) == 1


def test_held_out_accuracy_is_that_of_the_day(sdlora, taught, monkeypatch):
    monkeypatch.chdir(taught)
    for line, task in zip(sdlora("inspect", "shop").out.splitlines()[4:], Learner.load("shop").history, strict=True):
        assert f"{100 * task.held_out_accuracy:.1f} %" in line


def test_the_object_says_the_same(sdlora, taught, monkeypatch):
    monkeypatch.chdir(taught)
    whole, backbone, learned, *table = Learner.load("shop", device="cpu").summary().splitlines()
    first, second, third, *printed = sdlora("inspect", "shop").out.splitlines()
    assert printed == table
    assert (first.startswith(f"shop   {whole}, "), second.startswith(backbone), third.startswith(learned)) == (
        True,
    ) * 3


def test_json_is_config_with_sizes_and_checks(sdlora, taught, monkeypatch):
    monkeypatch.chdir(taught)
    document = sdlora("inspect", "shop", "--json").json
    assert list(document) == [
        "model", "version", "is_whole", "num_seen", "num_tasks", "backbone_parameters", "learned_bytes", "magnitudes",
        "ranks", "advice", "config",
    ]  # fmt: skip
    assert document["config"] == json.loads(Path("shop/config.json").read_text())
    assert document["ranks"] == [2.0, 2.0]
    assert len(document["magnitudes"]) == document["num_tasks"] == 2
    assert document["is_whole"] is True
    bare = Learner(method="simplecil").backbone.model
    assert document["backbone_parameters"] == sum(parameter.numel() for parameter in bare.parameters())
    assert document["learned_bytes"] == Learner.load("shop").num_bytes


def test_a_method_without_ranks_has_no_such_columns(sdlora, shop):
    answer = sdlora("inspect", "shop")
    assert answer.out.splitlines()[3].split() == ["lesson", "date", "classes", "images", "from", "held-out", "then"]
    document = sdlora("inspect", "shop", "--json").json
    assert document["ranks"] is document["magnitudes"] is None
    bare = Learner(method="simplecil").backbone.model
    assert document["backbone_parameters"] == sum(parameter.numel() for parameter in bare.parameters())


def test_all_classes_by_lesson(sdlora, shop):
    lines = sdlora("inspect", "shop", "--classes").out.splitlines()
    assert lines[-2:] == ["lesson 1: daisy, rose, tulip", "lesson 2: fir, pine"]


def test_damage_is_said_and_what_undoes_it(sdlora, shop):
    for weights in Path("shop").glob("*.safetensors"):
        data = bytearray(weights.read_bytes())
        data[-1] ^= 1
        weights.write_bytes(data)
    answer = sdlora("inspect", "shop")
    assert (answer.code, answer.out) == (3, "")
    assert "sha256" in answer.err
    assert ".safetensors" in answer.err


@pytest.mark.parametrize("words", [["gone"], ["test"], ["test/rose/50.png"]])
def test_what_is_no_model(words, sdlora, shop):
    answer = sdlora("inspect", *words)
    assert (answer.code, answer.out) == (3, "")
    assert answer.err.startswith("Error: ")


def test_it_writes_nothing(sdlora, shop):
    before = {path: path.stat().st_mtime_ns for path in shop.rglob("*")}
    sdlora("inspect", "shop")
    assert {path: path.stat().st_mtime_ns for path in shop.rglob("*")} == before


def test_hostile_names(sdlora, shop):
    learner = Learner.load("shop")
    learner.rename({"rose": "<img src=x onerror=alert(1)>", "daisy": "[red]x"})
    shutil.rmtree("shop")
    learner.save("shop")
    answer = sdlora("inspect", "shop", "--classes")
    assert answer.code == 0
    assert "[red]x, <img src=x onerror=alert(1)>, tulip" in answer.out
