"""``sdlora learn`` from the first word to the exit code."""

import json
import os
import shutil
import signal
import subprocess
import sys
from functools import partial

import pytest
from bundles import contents
from lessons import write_stripes

from sdlora import Learner
from sdlora.bundle import writing
from sdlora.cli.learn import seconds_of
from sdlora.errors import ConfigError

NEW = ("--backbone", "untrained_vit", "--method", "probe", "--device", "cpu", "--epochs", "1")


@pytest.fixture
def home(tmp_path, monkeypatch, sdlora):
    """A folder with a model of two classes, data for the next lessons, and test pictures of the first."""
    monkeypatch.chdir(tmp_path)
    for name, numbers, part in (("spring", (0, 1), "train"), ("summer", (2, 3), "train"), ("one", (4,), "train")):
        write_stripes(tmp_path / name, numbers, part)
    write_stripes(tmp_path / "spring_test", (0, 1), "test")
    assert sdlora("learn", "shop", "spring", *NEW).code == 0
    return tmp_path


def test_a_model_is_created_and_taught(home, sdlora):
    answer = sdlora("learn", "shop", "summer", "--retest", "spring_test", "--epochs", "1", "--json")
    assert answer.code == 0
    document = answer.json
    assert document["classes"] == ["stripes 2", "stripes 3"]
    assert (document["task"], document["num_seen"], document["num_images"], document["num_held_out"]) == (2, 4, 16, 4)
    assert [retest["path"] for retest in document["retests"]] == ["spring_test"]
    assert document["model"] == "shop"
    assert json.loads((home / "shop" / "config.json").read_text())["generation"] == 2


def test_people_read_what_came_of_it(home, sdlora):
    answer = sdlora("learn", "shop", "summer", "--epochs", "1")
    assert "classes of this lesson, held-out images" in answer.out
    assert "not measured: the images are gone (--retest FOLDER measures)" in answer.out
    assert "Saved shop: 4 classes in 2 lessons" in answer.out
    assert "Undo: sdlora learn shop --undo" in answer.out
    assert "Lesson 2 for shop: 2 new classes, 16 images (4 held out), probe, cpu." in answer.err


def test_the_shipped_backbone_is_said_to_be_for_trying_out(home, sdlora):
    (home / "empty").mkdir()
    answer = sdlora("learn", "fresh", "empty")
    assert "for trying out" in answer.err
    assert answer.code == 2
    assert not (home / "fresh").exists()


def test_one_class_alone_can_be_taught(home, sdlora):
    document = sdlora("learn", "shop", "one", "--json").json
    assert (document["classes"], document["epochs"]) == (["stripes 4"], 0)
    first = sdlora("learn", "other", "one", *NEW)
    assert first.code == 2
    assert "two or more in the first lesson" in first.err


def test_known_classes_are_an_error_a_choice_to_skip_or_to_teach_again(home, sdlora):
    write_stripes(home / "mixed", (1, 2, 3))
    answer = sdlora("learn", "shop", "mixed")
    assert answer.code == 2
    assert "already known: stripes 1\nExpected: new names only" in answer.err
    assert sdlora("learn", "shop", "mixed", "--skip-known", "--epochs", "1", "--json").json["classes"] == [
        "stripes 2",
        "stripes 3",
    ]
    document = sdlora("learn", "shop", "spring", "--update", "--json").json
    assert (document["classes"], document["updated"], document["num_seen"]) == ([], ["stripes 0", "stripes 1"], 4)
    assert sdlora("learn", "shop", "spring", "--skip-known").code == 2


def test_undo_and_rename(home, sdlora):
    sdlora("learn", "shop", "summer", "--epochs", "1")
    assert sdlora("learn", "shop", "--rename", "stripes 0=zero", "--rename", "stripes 2=two").code == 0
    answer = sdlora("learn", "shop", "--undo")
    assert answer.out == "shop is back to 2 classes in 1 lesson. Gone: two, stripes 3.\n"
    assert json.loads((home / "shop" / "config.json").read_text())["tasks"][0]["classes"] == ["zero", "stripes 1"]
    assert sdlora("learn", "shop", "--undo").code == 3
    wrong = sdlora("learn", "shop", "--rename", "stripes 11=x")
    assert wrong.code == 2
    assert 'did you mean "stripes 1"?' in wrong.err
    assert sdlora("learn", "shop", "--rename", "x").code == 2


def test_a_drop_beyond_the_limit_saves_nothing(home, sdlora, monkeypatch):
    from sdlora.learner import teaching

    before = contents(home / "shop")
    real = teaching.Exam.again
    monkeypatch.setattr(teaching.Exam, "again", lambda *a: real(*a).model_copy(update={"before": 0.9, "after": 0.7}))
    answer = sdlora("learn", "shop", "summer", "--epochs", "1", "--retest", "spring_test", "--max-drop", "0.1")
    assert answer.code == 5
    assert "spring_test falls from 90.0 % to 70.0 %; shop is what it was" in answer.err
    assert contents(home / "shop") == before
    options = ("--epochs", "1", "--retest", "spring_test", "--max-drop", "0.25")
    assert sdlora("learn", "shop", "summer", *options).code == 0
    assert sdlora("learn", "shop", "one", "--max-drop", "0.1").code == 2


@pytest.mark.parametrize("share", ["2", "-0.1", "nan"])
def test_a_bound_that_is_no_share_would_hold_nothing_back(home, sdlora, share):
    answer = sdlora("learn", "shop", "summer", "--retest", "spring_test", "--max-drop", share)
    assert answer.code == 2
    assert f"--max-drop {share}\nExpected: a share from 0 to 1" in answer.err


@pytest.mark.parametrize("words", [("--undo",), ("--rename", "stripes 0=zero")])
def test_what_only_a_lesson_obeys_is_refused_without_one(home, sdlora, words):
    before = contents(home / "shop")
    answer = sdlora("learn", "shop", *words, "--out", "copy", "--max-drop", "0")
    assert answer.code == 2
    assert f"--max-drop, --out with {words[0]}" in answer.err
    assert contents(home / "shop") == before


def test_another_name_keeps_the_model_as_it_is(home, sdlora):
    before = contents(home / "shop")
    assert sdlora("learn", "shop", "summer", "--out", "copy", "--epochs", "1").code == 0
    assert contents(home / "shop") == before
    assert json.loads((home / "copy" / "config.json").read_text())["previous"] == 1


def test_a_name_that_is_almost_there_is_asked_for(home, sdlora):
    answer = sdlora("learn", "shpo", "summer", *NEW)
    assert answer.code == 2
    assert "shpo does not exist, shop does" in answer.err
    assert sdlora("learn", "shpo", "summer", *NEW, "--new").code == 0
    assert sdlora("learn", "shop", "summer", "--new").code == 2
    assert sdlora("learn", "shop", "summer", "--method", "sdlora").code == 2
    (home / "shop").rename(home / "digits")
    assert sdlora("learn", "fruits", "summer", *NEW).code == 0  # another word, not a slip


def test_commands_that_are_proposed_can_be_pasted(home, sdlora):
    answer = sdlora("learn", "my shop", "summer", *NEW, "--new")
    assert answer.out.rstrip().endswith("Next: sdlora predict 'my shop' IMAGE")
    assert "Fix: sdlora learn 'my shop' DATA, or --new" in sdlora("learn", "my shpo", "summer").err


def test_a_folder_of_something_else_is_refused_untouched_before_anything_is_taught(home, sdlora):
    export = home / "shop-onnx"
    export.mkdir()
    (export / "model.onnx").write_bytes(b"x")
    for words in (("summer", "summer"), ("shop-onnx", "summer"), ("shop", "summer", "--out", "spring")):
        answer = sdlora("learn", *words)
        assert answer.code == 3
        assert "and is no bundle\nExpected: a new or empty folder" in answer.err
        assert "Lesson" not in answer.err
    for words in (("spring", "--undo"), ("summer", "--rename", "a=b")):
        answer = sdlora("learn", *words)
        assert answer.code == 3
        assert "is not a bundle" in answer.err
    assert not list(home.rglob("s*/.lock")) or [path.parent.name for path in home.rglob("s*/.lock")] == ["shop"]
    (home / "empty").mkdir()
    assert sdlora("learn", "empty", "summer", *NEW).code == 0


def test_another_model_as_the_place_is_refused_before_anything_is_taught(home, sdlora):
    assert sdlora("learn", "garden", "summer", *NEW).code == 0
    before = contents(home / "garden")
    answer = sdlora("learn", "shop", "one", "--out", "garden")
    assert answer.code == 3
    assert "garden holds different lessons (1 of 1 differ)\nFix: save to a new folder" in answer.err
    assert "Lesson" not in answer.err
    assert contents(home / "garden") == before


def test_what_a_folder_is_called_cannot_spoil_a_lesson(home, sdlora):
    long, strange = "r" * 220, os.fsdecode(b"caf\xe9\x1b[31m")
    for name in (long, strange):
        write_stripes(home / name, (0, 1), "test")
    write_stripes(home / ("w" * 220), (2, 3))
    options = ("--epochs", "1", "--retest", long, "--retest", strange, "--json")
    document = sdlora("learn", "shop", "w" * 220, *options).json
    assert [retest["path"] for retest in document["retests"]] == ["r" * 80, r"caf\udce9\x1b[31m"]
    assert document["source"] == "w" * 80
    assert sdlora("inspect", "shop").code == 0


def test_unreadable_files_are_named_or_skipped(home, sdlora):
    (home / "summer" / "stripes 2" / "bad.png").write_bytes(b"no picture")
    (home / "summer" / "stripes 2" / "notes.txt").write_text("x")
    before = contents(home / "shop")
    answer = sdlora("learn", "shop", "summer", "--epochs", "1")
    assert answer.code == 2
    assert "2 of 18 files in summer are unreadable" in answer.err
    assert "bad.png" in answer.err
    assert contents(home / "shop") == before
    document = sdlora("learn", "shop", "summer", "--epochs", "1", "--skip-unreadable", "--json").json
    assert document["skipped"] == 2


def test_a_second_writer_is_refused(home, sdlora):
    code = "import sys; from pathlib import Path; from sdlora.bundle import writing\n"
    code += "with writing(Path('shop')):\n print('held', flush=True); sys.stdin.read()"
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", code], stdin=pipe, stdout=pipe, text=True) as held:
        assert held.stdout.readline() == "held\n"
        answer = sdlora("learn", "shop", "summer")
        assert answer.code == 4
        assert f"in use by process {held.pid}" in answer.err
        held.stdin.close()
    with writing(home / "shop"):
        pass


def test_exactly_one_thing_is_asked_for(home, sdlora):
    assert sdlora("learn", "shop").code == 2
    assert sdlora("learn", "shop", "summer", "--undo").code == 2
    assert sdlora("learn", "nowhere", "--undo").code == 3


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("10m", 600), ("1.5h", 5400), ("45", 45), ("2M", 120)])
def test_times(text, seconds):
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-1s", "0", "nan", "inf", "1d"])
def test_what_is_no_time(text):
    with pytest.raises(ConfigError, match="90s, 10m or 1h"):
        seconds_of(text)


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_lesson_that_is_stopped_leaves_the_model_as_it_was(home, number, code):
    trains = Learner("untrained_vit", method="sdlora", adapt_tasks=None, device="cpu")
    trains.learn(home / "spring", epochs=1)
    shutil.rmtree(home / "shop")
    trains.save(home / "shop")
    before = contents(home / "shop")
    command = [sys.executable, "-m", "sdlora.cli.main", "learn", "shop", "summer", "--epochs", "100000"]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    heed = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # what a shell's background jobs ignore
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment, preexec_fn=heed) as process:
        for line in process.stderr:
            if "epoch 2" in line:
                break
        process.send_signal(number)
        rest = process.stderr.read()
        assert process.wait(60) == code
    if number == signal.SIGINT:
        assert "Stopped: shop is what it was" in rest
    assert contents(home / "shop") == before
