"""The benchmark runs at a tiny size, and its rows say what they should; no time is asserted."""

import json

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import step_cost
from benchmarks.subjects import FLOOR, build, random_backbone, subjects
from sdlora.backbones.vit import load_backbone
from sdlora.errors import ConfigError
from sdlora.methods import METHODS

pytestmark = pytest.mark.slow


TINY = ["--model", "untrained_vit", "--batch", "3", "--rank", "2", "--rounds", "2", "--device", "cpu"]


def rows_of(tmp_path, *words):
    step_cost.main([*TINY, *words, "--json", str(tmp_path / "rows.json")])
    return json.loads((tmp_path / "rows.json").read_text())


def test_every_method_gets_a_row_for_its_first_and_twentieth_task(tmp_path, capsys):
    rows = rows_of(tmp_path, "--dtype", "float32", "--tasks", "1,3", "--rounds", "1")
    found = {(row["method"], row["tasks"]) for row in rows}
    none = {("simplecil", 1), ("simplecil", 20), ("ranpac", 20)}
    others = set(METHODS) - {"sdlora", "joint"}
    expected = {("floor", 0), ("peft", 1), ("joint", 1)} | {(name, n) for name in others for n in (1, 20)}
    expected |= {(name, n) for name in ("sdlora", "loop", "stacked") for n in (1, 3)}
    assert found == expected - none
    printed = capsys.readouterr().out
    for method, tasks in none:
        assert f"{method} trains nothing by steps at task {tasks}" in printed


def test_a_row_is_consistent(tmp_path, capsys):
    rows = rows_of(tmp_path, "--methods", "sdlora", "--tasks", "2", "--rounds", "3")
    assert [(row["method"], row["dtype"]) for row in rows] == [
        ("floor", "float32"),
        ("sdlora", "float32"),
        ("floor", "bf16"),
        ("sdlora", "bf16"),
    ]
    for row in rows:
        assert row["seconds"] > 0
        assert row["images_per_second"] == pytest.approx(3 / row["seconds"])
        assert row["lowest_ratio"] <= row["ratio_to_floor"] <= row["highest_ratio"]
        assert (row["batch"], row["image_size"], row["model"], row["device"]) == (3, 16, "untrained_vit", "cpu")
    assert {row["ratio_to_floor"] for row in rows if row["method"] == "floor"} == {1}
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("sdlora") for line in lines) == 2
    if not torch.cuda.is_available():
        assert lines[-1] == "No GPU is available here: nothing above says anything about one."


def test_bytes_hold_the_weights_and_grow_with_the_stored_directions_alone(tmp_path):
    rows = rows_of(tmp_path, "--methods", "sdlora,loop", "--tasks", "1,21", "--dtype", "float32", "--batch", "16")
    peak = {(row["method"], row["tasks"]): row["peak_bytes"] for row in rows}
    weights = sum(p.numel() for p in load_backbone("untrained_vit").parameters()) * 4
    assert peak["floor", 0] > weights
    stored = 20 * 2 * 2 * 2 * (32 + 32) * 4 + 20 * 10 * (32 + 1) * 4  # directions; the head's frozen blocks; bytes
    grown = peak["sdlora", 21] - peak["sdlora", 1]
    assert stored < grown < stored + 5_000  # besides: magnitudes, ranks, scales
    assert peak["loop", 21] - peak["loop", 1] > 2 * grown


def test_the_floor_is_the_frozen_model_and_no_more():
    backbone = load_backbone("untrained_vit")
    method = build(subjects([], [], 2)[0], backbone)
    assert {name.partition(".")[0] for name, p in method.named_parameters() if p.requires_grad} == {"head"}
    images = torch.rand(2, 3, 16, 16)
    assert torch.equal(method.backbone(images), backbone(images))
    with FlopCounterMode(display=False) as forward:
        loss = method.losses(images, torch.tensor([0, 1]))["cross_entropy"]
    with FlopCounterMode(display=False) as backward:
        loss.backward()
    tokens, width = 2 * 5, 32
    skipped = 2 * tokens * 3 * width * width + 2 * 2 * 4 * 3 * 64 * width  # the first projection's input, the patches
    again = 2 * 2 * width * 10 + 2 * 2 * 2 * tokens * 5 * width  # head and attention take two products for one
    assert backward.get_total_flops() == forward.get_total_flops() - skipped + again


def test_subjects_share_frozen_weights_and_train_their_own():
    backbone = random_backbone("untrained_vit", None)
    own = {id(p) for p in backbone.parameters()}
    for subject in subjects(["sdlora", "finetune"], [2], 2):
        method = build(subject, backbone)
        held = {id(p) for p in method.backbone.parameters()}
        assert (own <= held) == (subject.method in (FLOOR, "sdlora"))
        assert not any(p.requires_grad for p in backbone.parameters())


def test_the_image_size_is_an_option():
    assert random_backbone("vit_tiny_patch16_224", 32).image_size == 32


@pytest.mark.parametrize("words", [["--methods", "nothing"], ["--dtype", "int8"]])
def test_unknown_names_are_refused(words, capsys):
    with pytest.raises(SystemExit):
        step_cost.main([*TINY, *words])
    assert "expected" in capsys.readouterr().err


def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match="no device cuda:99"):
        step_cost.main([*TINY, "--device", "cuda:99"])
