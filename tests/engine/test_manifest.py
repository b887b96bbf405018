"""Descriptions of runs and how they differ; whole runs are compared in tests/reliability."""

from __future__ import annotations

import copy
import json
import subprocess

import pytest
from reliability.small_run import Case

from sdlora.engine import manifest
from sdlora.engine.device import open_accelerator
from sdlora.engine.manifest import changed_surroundings, conflicts, describe


@pytest.fixture(scope="module")
def description():
    case = Case(method_options={"rank": 3})
    with open_accelerator(case.options()) as accelerator:
        return describe(case.make_method(), case.stream(), case.options(), accelerator, case.recipe())


def test_it_is_plain_json(description):
    assert json.loads(json.dumps(description)) == description
    assert description["method"] == {"name": "sdlora", "options": {"rank": 3}}
    assert description["recipe"]["method"] == {"name": "sdlora", "rank": 3}


def test_a_run_does_not_conflict_with_itself(description):
    assert conflicts(description, copy.deepcopy(description)) == []
    assert changed_surroundings(description, copy.deepcopy(description)) == []


def changed(description, path, value):
    made = copy.deepcopy(description)
    *folders, name = path.split(".")
    place = made
    for folder in folders:
        place = place[folder]
    if value is None:
        del place[name]
    else:
        place[name] = value
    return made


@pytest.mark.parametrize(
    ("path", "value", "difference"),
    [
        ("recipe.optim.lr", 1.0, "optim.lr = 0.005; now 1.0"),
        ("recipe.optim.schedule", None, 'optim.schedule = "cosine"; now absent'),
        ("recipe.method.rank", 4, "method.rank = 3; now 4"),
        ("seed", 5, "seed = 0; now 5"),
        ("backbone.name", "other", 'backbone.name = "untrained_vit"; now "other"'),
        ("stream.name", "other", 'stream.name = "synthetic_2"; now "other"'),
        ("dtype", "bfloat16", 'dtype = "float32"; now "bfloat16"'),
        ("device", "cuda", 'device = "cpu"; now "cuda"'),
        ("world_size", 2, "world_size = 1; now 2"),
    ],
)
def test_what_makes_another_run(description, path, value, difference):
    assert conflicts(description, changed(description, path, value)) == [difference]


@pytest.mark.parametrize("path", ["run.output_dir", "run.seeds", "run.checkpoint_seconds", "run.device", "stream.root"])
def test_what_may_change(description, path):
    assert conflicts(description, changed(description, f"recipe.{path}", "elsewhere")) == []


@pytest.mark.parametrize("path", ["sdlora", "versions.torch", "hardware.cpu", "threads", "flags.cudnn_tf32"])
def test_what_is_said_but_not_refused(description, path):
    other = changed(description, path, "other")
    assert conflicts(description, other) == []
    (difference,) = changed_surroundings(description, other)
    assert difference.startswith(f"{path} = ")
    assert difference.endswith('; now "other"')


def test_all_differences_come_sorted(description):
    other = changed(changed(description, "seed", 9), "recipe.optim.lr", 1.0)
    assert conflicts(description, other) == ["optim.lr = 0.005; now 1.0", "seed = 0; now 9"]


def test_the_commit_is_told_where_there_is_one(monkeypatch, tmp_path):
    monkeypatch.setattr(manifest, "__file__", str(tmp_path / "src" / "sdlora" / "engine" / "manifest.py"))
    assert manifest._git_commit() is None

    def git(*words):
        identity = ["-c", "user.name=x", "-c", "user.email=x@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *identity, *words], check=True, capture_output=True)

    git("init")
    assert manifest._git_commit() is None, "there is no commit yet"
    code = tmp_path / "src" / "sdlora" / "code"
    code.parent.mkdir(parents=True)
    for file in (code, tmp_path / "results"):
        file.write_text("one")
    git("add", ".")
    git("commit", "-m", "one")
    commit = manifest._git_commit()
    assert len(commit) == 40
    (tmp_path / "results").write_text("two")
    assert manifest._git_commit() == commit
    code.write_text("two")
    assert manifest._git_commit() == f"{commit}-dirty"


def test_digests_are_short_and_another_folder_of_data_is_named(description):
    other = changed(changed(description, "stream.digest", "cd" * 32), "backbone.sha256", "ef" * 32)
    digest, backbone = description["stream"]["digest"][:8], description["backbone"]["sha256"][:8]
    data = "(of images, labels, class order and task sizes)"
    differences = [
        f"backbone.sha256 = {backbone}; now efefefef",
        f"stream.digest = {digest} {data}; now cdcdcdcd {data}",
    ]
    assert conflicts(description, other) == differences
    moved = changed(other, "recipe.stream.root", "elsewhere")
    assert conflicts(description, moved) == [*differences, 'stream.root = null; now "elsewhere"']
