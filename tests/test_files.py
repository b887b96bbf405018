"""The write primitive, what reads it back, and the lock; kills and full disks are in tests/reliability."""

from __future__ import annotations

import json
import os
import stat

import pytest
import torch

from sdlora import files
from sdlora.errors import BusyError, StorageError
from sdlora.files import (
    FolderLock,
    make_folder,
    parse_tensors,
    read_bytes,
    read_folder,
    read_json,
    remove_folder,
    sweep,
    tensor_bytes,
    write_atomic,
    write_folder,
    write_json,
    write_new,
    write_tensors,
)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_written_and_replaced(tmp_path):
    path = tmp_path / "file"
    write_atomic(path, b"old")
    write_atomic(path, b"new and longer")
    assert path.read_bytes() == b"new and longer"
    assert names(tmp_path) == ["file"]


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_a_new_file_follows_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        write_atomic(tmp_path / "file", b"")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == mode


def test_a_replaced_file_keeps_its_mode(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"old")
    path.chmod(0o664)
    write_atomic(path, b"new")
    assert stat.S_IMODE(path.stat().st_mode) == 0o664


def test_a_new_file_may_be_like_another(tmp_path):
    (tmp_path / "other").write_bytes(b"")
    (tmp_path / "other").chmod(0o660)
    write_atomic(tmp_path / "file", b"", like=tmp_path / "other")
    assert write_new(tmp_path / "new", b"", like=tmp_path / "other")
    write_atomic(tmp_path / "alone", b"", like=tmp_path / "missing")
    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("file", "new")]
    assert modes == [0o660, 0o660]


def test_a_file_is_created_once(tmp_path):
    assert write_new(tmp_path / "file", b"first")
    assert not write_new(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert names(tmp_path) == ["file"]


def test_a_file_that_could_not_be_made_safe_is_not_created(tmp_path, monkeypatch):
    def fail(path):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(files, "_flush_folder", fail)
    with pytest.raises(StorageError, match="input/output error"):
        write_new(tmp_path / "file", b"data")
    assert names(tmp_path) == []


def test_without_hard_links_a_file_is_created_in_place(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    assert write_new(tmp_path / "file", b"first")
    assert not write_new(tmp_path / "file", b"second")
    assert (tmp_path / "file").read_bytes() == b"first"
    assert names(tmp_path) == ["file"]


def test_a_link_stays_a_link(tmp_path):
    make_folder(tmp_path / "real")
    target, link = tmp_path / "real" / "file", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomic(link, b"new")
    assert link.is_symlink()
    assert target.read_bytes() == b"new"
    assert names(tmp_path / "real") == ["file"]


def test_a_long_name_is_as_good_as_a_short_one(tmp_path):
    path = tmp_path / ("n" * 255)
    write_atomic(path, b"data")
    assert path.read_bytes() == b"data"


def test_a_write_in_pieces_is_whole(tmp_path, monkeypatch):
    write = os.write
    monkeypatch.setattr(files.os, "write", lambda descriptor, data: write(descriptor, data[:3]))
    write_atomic(tmp_path / "file", b"0123456789")
    assert (tmp_path / "file").read_bytes() == b"0123456789"


def test_an_interrupt_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(files.os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(tmp_path / "file", b"data")
    assert names(tmp_path) == []


def test_errors_are_translated(tmp_path):
    with pytest.raises(StorageError, match=r"cannot write .*no such file") as caught:
        write_atomic(tmp_path / "absent" / "file", b"")
    assert caught.value.exit_code == 7
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match="cannot write"):
        make_folder(tmp_path / "file" / "folder")
    with pytest.raises(StorageError, match="cannot write"):
        remove_folder(tmp_path / "absent")


def test_json_goes_there_and_back(tmp_path):
    value = {"ä": [1, 2.5, None, True], "nested": {"x": "y"}}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "value.json", float("nan"))
    assert read_json(tmp_path / "value.json") == value


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "damaged"),
        ('{"a": 1, "a": 2}', "twice"),
        ("[NaN]", "NaN"),
        ("[-Infinity]", "-Infinity"),
        ("[" * 33 + "]" * 33, "deeper than 32"),
        ("[" * 400_000, "damaged"),
        ('"' + "x" * 1_000_000 + '"', "at most 1000000"),
        ('"\ud800"', "damaged"),
    ],
)
def test_json_is_read_strictly(tmp_path, text, reason):
    path = tmp_path / "value.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=reason) as caught:
        read_json(path)
    assert str(path) in str(caught.value)


def test_json_may_be_as_deep_as_allowed(tmp_path):
    (tmp_path / "value.json").write_text("[" * 31 + "1" + "]" * 31)
    assert json.dumps(read_json(tmp_path / "value.json")).count("[") == 31


def test_tensors_go_there_and_back(tmp_path):
    shared = torch.arange(6.0)
    tensors = {
        "whole": shared,
        "part": shared[2:4],
        "across": shared.view(2, 3).T,
        "scalar": torch.tensor(1.5, dtype=torch.float64),
        "empty": torch.zeros(0, 4),
        "flags": torch.tensor([True, False]),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "learned": torch.nn.Parameter(torch.ones(2)),
    }
    write_tensors(tmp_path / "tensors.safetensors", tensors)
    found = parse_tensors(read_bytes(tmp_path / "tensors.safetensors"))
    assert found.keys() == tensors.keys()
    for name, value in tensors.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)
    assert tensor_bytes(tensors) == tensor_bytes(dict(reversed(tensors.items())))


def test_damaged_tensors_are_refused():
    with pytest.raises(ValueError, match="damaged tensors"):
        parse_tensors(tensor_bytes({"x": torch.ones(3)})[:-1])


def test_a_folder_appears_whole(tmp_path):
    contents = {"a": b"1", "b": b"", "c": bytes(1000)}
    write_folder(tmp_path / "folder", contents)
    assert read_folder(tmp_path / "folder") == contents
    assert names(tmp_path) == ["folder"]
    with pytest.raises(StorageError):
        write_folder(tmp_path / "folder", {})
    assert read_folder(tmp_path / "folder") == contents
    assert names(tmp_path) == ["folder"]
    remove_folder(tmp_path / "folder")
    assert names(tmp_path) == []


def test_damage_in_a_folder_is_named(tmp_path):
    folder = tmp_path / "folder"

    def damaged(name, data, reason):
        write_folder(folder, {"a": b"one", "b": b"two"})
        (folder / name).unlink()
        if data is not None:
            (folder / name).write_bytes(data)
        with pytest.raises(ValueError, match=reason) as caught:
            read_folder(folder)
        assert str(folder / name) in str(caught.value)
        remove_folder(folder)

    damaged("a", None, "missing")
    damaged("a", b"on", "2 bytes, not 3")
    damaged("b", b"twx", "sha256 .*, not ")
    damaged("manifest.json", None, "missing")
    damaged("manifest.json", b"", "damaged")
    damaged("manifest.json", b"[]", "list")
    damaged("manifest.json", b"{}", "list")
    damaged("manifest.json", b'{"files": {"a": {}}}', "list")


def test_leftovers_are_swept_and_nothing_else(tmp_path):
    (tmp_path / ".12.partial").write_bytes(b"")
    (tmp_path / ".34.partial").mkdir()
    (tmp_path / ".34.partial" / "file").write_bytes(b"")
    (tmp_path / "kept").write_bytes(b"")
    sweep(tmp_path)
    assert names(tmp_path) == ["kept"]


def test_the_second_writer_is_told_who_holds_the_lock(tmp_path):
    folder = tmp_path / "new" / "run"
    with FolderLock(folder):
        with (
            pytest.raises(BusyError, match=rf"process {os.getpid()} on .* since 20\d\d-") as caught,
            FolderLock(folder),
        ):
            pass
        assert caught.value.exit_code == 4
        (folder / ".holder.json").write_bytes(b"torn")
        with pytest.raises(BusyError, match="another process"), FolderLock(folder):
            pass
    with FolderLock(folder):
        (folder / ".7.partial").write_bytes(b"")
    with FolderLock(folder):
        assert names(folder) == [".holder.json", ".lock"]
    assert names(folder) == [".lock"]


@pytest.mark.parametrize(("folder", "mode"), [(0o755, 0o644), (0o2775, 0o664), (0o777, 0o666), (0o700, 0o600)])
def test_whoever_may_write_into_a_folder_may_lock_it(tmp_path, folder, mode):
    tmp_path.chmod(folder)
    before = os.umask(0o077)
    try:
        with FolderLock(tmp_path):
            pass
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / ".lock").stat().st_mode) == mode


def test_a_lock_that_cannot_say_who_holds_it_is_free_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(files, "write_json", lambda *_: (_ for _ in ()).throw(StorageError("full")))
        with pytest.raises(StorageError), FolderLock(tmp_path):
            pass
    with FolderLock(tmp_path):
        pass


def test_reading_what_cannot_be_read(tmp_path, monkeypatch):
    def refuse(_):
        raise PermissionError(13, "Permission denied")

    with pytest.raises(ValueError, match="is missing"):
        read_bytes(tmp_path)
    monkeypatch.setattr(files.Path, "read_bytes", refuse)
    with pytest.raises(StorageError, match=r"cannot read .*permission denied"):
        read_bytes(tmp_path / "file")
