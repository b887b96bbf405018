"""What is written into a run folder, and when it is recognised."""

from __future__ import annotations

import json
import signal

import pytest
import torch

from sdlora.engine.progress import Observer, Progress
from sdlora.engine.run_folder import RunFolder, RunResult
from sdlora.errors import RunError

DESCRIPTION = {"format": 1, "seed": 0, "recipe": {}, "stream": {"name": "s", "tasks": [["a", "b"], ["c"]]}}
DONE = Progress(task=2, hits=[[3, None], [2, 1]], totals=[[4, None], [4, 2]])


@pytest.fixture
def folder(tmp_path):
    return RunFolder(tmp_path / "run", DESCRIPTION, "# recipe\n", Observer())


def read(folder, name):
    return json.loads((folder.path / name).read_text())


def test_a_new_folder_holds_nothing(folder):
    assert folder.finished() is None
    assert folder.restore() is None
    assert not folder.path.exists()


def test_from_beginning_to_end(folder):
    with folder.lock():
        folder.save(Progress(), {"method.x": torch.ones(1)})
        folder.open(Progress())
        assert read(folder, "manifest.json")["status"] == "running"
        assert read(folder, "manifest.json")["finished"] is None
        assert (folder.path / "recipe.toml").read_text() == "# recipe\n"
        assert (folder.path / "metrics.jsonl").read_text() == ""
        assert not (folder.path / "matrix.json").exists(), "there is nothing to show"
        assert folder.finished() is None
        folder.log.append({"event": "task"})
        folder.save(DONE, {})
        result = folder.finish(DONE)
    assert result.exit_code == 0
    assert read(folder, "matrix.json") == {
        "format": 1,
        "hits": [[3, None], [2, 1]],
        "totals": [[4, None], [4, 2]],
        "classes_per_task": [2, 1],
    }
    manifest = read(folder, "manifest.json")
    assert manifest["status"] == "finished"
    assert manifest["started"] <= manifest["finished"]
    assert {key: manifest[key] for key in DESCRIPTION} == DESCRIPTION
    assert folder.finished() == result
    assert folder.restore().metrics == b'{"event": "task"}\n', "the last row comes after the last checkpoint"


def test_a_stopped_run_is_not_finished(folder):
    with folder.lock():
        folder.save(Progress(), {})
        folder.open(Progress())
        result = folder.stop(DONE, signal.SIGTERM)
    assert (result.status, result.exit_code) == ("stopped", 143)
    assert read(folder, "manifest.json")["status"] == "stopped"
    assert folder.finished() is None


def test_the_day_it_began_stays(folder):
    with folder.lock():
        folder.save(Progress(), {})
        folder.started = "2020-01-01T00:00:00+00:00"
        folder.open(Progress())
    again = RunFolder(folder.path, DESCRIPTION, "", Observer())
    again.restore()
    assert again.started == "2020-01-01T00:00:00+00:00"


def test_another_seed_is_refused(folder):
    with folder.lock():
        folder.save(Progress(), {})
        folder.open(Progress())
    other = RunFolder(folder.path, DESCRIPTION | {"seed": 1}, "", Observer())
    assert other.finished() is None
    with pytest.raises(RunError, match="seed = 0; now 1"):
        other.restore()


def test_codes_of_results(tmp_path):
    assert RunResult(tmp_path, "stopped", [], [], 0.0, signal.SIGINT).exit_code == 130
    assert RunResult(tmp_path, "finished", [], [], 0.0).exit_code == 0
