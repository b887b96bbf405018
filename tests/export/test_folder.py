import json
import os

import pytest
from export.taught import taught

from sdlora import files as storage
from sdlora.bundle.history import MARK
from sdlora.errors import CheckError, ConfigError, StorageError
from sdlora.export.check import Check
from sdlora.export.folder import claim, finish, mark, publish

GOOD = Check("x 1.0", "logits", 64, 64, 1e-7, 1e-5)
BAD = Check("x 1.0", "logits", 64, 63, 0.5, 1e-5)
FILES = {"a.txt": b"a", MARK: b"{}"}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "manifest.json"}


def test_the_check_sees_the_files_before_the_name_exists(tmp_path):
    path, seen = tmp_path / "deep" / "shop-x", []

    def look(made):
        seen.append((contents(made), path.exists()))
        return GOOD

    assert publish(path, FILES, look) == (path, GOOD)
    assert seen == [(FILES, False)]
    assert contents(path) == FILES
    assert os.listdir(path.parent) == ["shop-x"]


def test_an_export_is_replaced_as_a_whole(tmp_path):
    publish(tmp_path / "x", FILES, lambda _: GOOD)
    publish(tmp_path / "x", {"b.txt": b"b", MARK: b"{}"}, lambda _: GOOD)
    assert contents(tmp_path / "x") == {"b.txt": b"b", MARK: b"{}"}
    assert os.listdir(tmp_path) == ["x"]


def test_a_failed_check_keeps_its_files_apart_and_the_old_ones(tmp_path):
    publish(tmp_path / "x", FILES, lambda _: GOOD)
    for text in (b"1", b"2"):  # the second failure replaces the first
        with pytest.raises(CheckError, match=r"same class for 63 of 64(?s:.*)x\.failed keeps its files"):
            finish(
                tmp_path / "x",
                "x",
                {"a.txt": text, MARK: b"{}"},
                lambda _: BAD,
                ratio=lambda: pytest.fail("what failed is not timed"),
                lines=(),
                next_step="",
            )
    assert contents(tmp_path / "x") == FILES
    assert contents(tmp_path / "x.failed")["a.txt"] == b"2"
    assert sorted(os.listdir(tmp_path)) == ["x", "x.failed"]


def test_a_check_that_breaks_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        publish(tmp_path / "x", FILES, lambda _: 1 / 0)
    assert os.listdir(tmp_path) == []


def _bundle(folder):
    folder.mkdir()
    (folder / "config.json").write_text("{}")


def _foreign_manifest(folder):
    storage.write_folder(folder, {"a.txt": b"a"})


def _added(folder):
    publish(folder, FILES, lambda _: GOOD)
    (folder / "notes.txt").write_text("mine")


def _edited(folder):
    publish(folder, FILES, lambda _: GOOD)
    (folder / "a.txt").write_text("b")


def _hostile(folder):
    folder.mkdir()
    (folder / "manifest.json").write_text(json.dumps({"files": {"../a": 1}}))


@pytest.mark.parametrize(
    "make", [_bundle, _foreign_manifest, _added, _edited, _hostile, lambda path: path.write_text("")]
)
def test_what_somebody_else_made_or_changed_stays(make, tmp_path):
    path = tmp_path / "x"
    make(path)
    before = contents(path) if path.is_dir() else path.read_bytes()
    with pytest.raises(ConfigError, match=r"(?s)x (exists|holds).*--out OTHER"):
        claim(path)
    with pytest.raises(ConfigError):
        publish(path, FILES, lambda _: GOOD)
    assert (contents(path) if path.is_dir() else path.read_bytes()) == before
    assert os.listdir(tmp_path) == ["x"]


def test_what_python_leaves_behind_does_no_harm(tmp_path):
    publish(tmp_path / "x", FILES, lambda _: GOOD)
    (tmp_path / "x" / "__pycache__").mkdir()
    claim(tmp_path / "x")
    claim(tmp_path / "not there")


def test_left_overs_of_a_killed_call_go(tmp_path):
    for name in (".x.0123.partial", ".y.0123.partial"):
        (tmp_path / name).mkdir()
    publish(tmp_path / "x", FILES, lambda _: GOOD)
    assert sorted(os.listdir(tmp_path)) == [".y.0123.partial", "x"]


def test_if_the_new_one_cannot_take_the_name_the_old_one_keeps_it(tmp_path, monkeypatch):
    publish(tmp_path / "x", FILES, lambda _: GOOD)
    renamed = os.rename

    def rename(source, target):
        if str(target).endswith("/x") and b"new" in contents(source).values():
            raise OSError(28, "No space left on device")
        renamed(source, target)

    monkeypatch.setattr(os, "rename", rename)
    with pytest.raises(StorageError, match="no space left"):
        publish(tmp_path / "x", {"a.txt": b"new", MARK: b"{}"}, lambda _: GOOD)
    assert contents(tmp_path / "x") == FILES
    assert os.listdir(tmp_path) == ["x"]


def test_the_mark_says_what_it_is():
    said = json.loads(mark(taught("lora"), "timm"))
    assert said["format"] == "timm"
    assert said["method"] == "lora"
    assert said["backbone"] == "untrained_vit"
    assert said["num_classes"] == 5
