"""The process that teaches, with a real learner; in this process where nothing else is said."""

import io
import json
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdlora import Learner
from sdlora.server import teach_worker
from sdlora.server.teach_worker import Events, Job, Pictures, teach
from sdlora.server.teacher import COMMAND


@pytest.fixture
def job(tmp_path):
    folder = tmp_path / "draft"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(8):
        level = 40 + 160 * (number >= 4)
        pixels = (level + rng.integers(0, 20, (28, 28, 3))).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    pictures = [[f"{n}.png" for n in range(4)], [f"{n}.png" for n in range(4, 8)]]
    return Job(str(tmp_path / "model"), str(folder), ["dark", "../light"], pictures, [], "cpu")


def run(job, should_stop=lambda: False):
    target = io.StringIO()
    teach(job, Events(target), should_stop)
    return [json.loads(line) for line in target.getvalue().splitlines()]


def named(job, *names):
    return Job(**{**vars(job), "classes": list(names)})


@pytest.mark.slow
def test_a_lesson_is_learned_and_stored(job):
    *progress, last = run(named(job, "dark", "light"))
    assert last["event"] == "done"
    assert 0 <= progress[-1]["held_out_accuracy"] <= 1
    assert last["record"]["classes"] == ["dark", "light"]
    assert last["record"]["source"] == "page"
    learner = Learner.load(job.model)
    assert learner.classes == ("dark", "light")
    *_, last = run(named(job, "darker", "lighter"))
    assert last["event"] == "done"
    assert Learner.load(job.model).num_tasks == 2


def test_a_lesson_that_cannot_be_learned_changes_nothing(job, tmp_path):
    assert [event["event"] for event in run(job)] == ["failed"]  # a name that leads out
    assert not (tmp_path / "model").exists()


def test_a_lesson_that_is_stopped_changes_nothing(job, tmp_path):
    assert [event["event"] for event in run(named(job, "dark", "light"), lambda: True)][-1] == "cancelled"
    assert not (tmp_path / "model").exists()


def test_a_bug_is_told_without_its_traceback(job, monkeypatch, capsys):
    monkeypatch.setattr(teach_worker, "Pictures", None)
    (event,) = run(job)
    assert event["event"] == "failed"
    assert event["detail"].startswith("Internal error: TypeError")
    assert "Traceback" in capsys.readouterr().err


def test_pictures_have_names_and_labels(job):
    data = Pictures(Path(job.folder), job.classes, job.pictures)
    assert len(data) == 8
    pixels, label = data[5]
    assert (pixels.shape, pixels.dtype, label) == ((28, 28, 3), np.uint8, 1)
    assert data.classes == ["dark", "../light"]


@pytest.mark.slow
def test_the_process_ends_with_its_input(job):
    """What happens when the server is killed: the pipe closes, nothing is written."""
    process = subprocess.Popen(COMMAND, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    process.stdin.write(named(job, "dark", "light").to_line())
    process.stdin.close()
    events = [json.loads(line)["event"] for line in process.stdout]
    process.stdout.close()
    assert process.wait(60) == 0
    assert events[-1] == "cancelled"
