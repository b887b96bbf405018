"""E1, E2, E3: a disk that is full or broken costs no earlier state, and is told as what it is."""

from __future__ import annotations

import errno
import os
import shutil

import pytest
from reliability.children import Child, run_to_end
from reliability.faults import Calls
from reliability.small_run import Case, bits, interrupted, leftovers, train, tree
from reliability.worker import Trouble

from sdlora import files
from sdlora.engine.checkpoint import Checkpoints
from sdlora.errors import StorageError

CASE = Case(method="probe", epochs=1)
ERRORS = (
    errno.ENOSPC,
    errno.EACCES,
    errno.EROFS,
    errno.EDQUOT,
    errno.EMFILE,
    errno.ENAMETOOLONG,
    errno.EIO,
)


@pytest.fixture(scope="module")
def unbroken(module_place):
    train(module_place / "run", CASE)
    return bits(module_place / "run")


def failing_at(wanted, code):
    """A stand-in for `os` whose call number `wanted` fails."""

    def before(number, name):
        if number == wanted:
            raise OSError(code, os.strerror(code), f"{name} was made to fail")

    return Calls(before)


@pytest.mark.slow
def test_e2_an_error_at_each_call(place, unbroken, monkeypatch):
    calls = Calls(lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", calls)
        train(place / "counted", CASE)
    checkpoints = 0
    for number in range(len(calls.names)):
        folder, code = place / "run", ERRORS[number % len(ERRORS)]
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", failing_at(number, code))
            with pytest.raises(StorageError, match=os.strerror(code).lower()) as caught:
                train(folder, CASE)
        assert caught.value.exit_code == 7
        assert str(folder) in str(caught.value)
        assert not leftovers(folder), number
        checkpoint, problems = Checkpoints(folder / "checkpoint").newest()
        assert not problems
        checkpoints += checkpoint is not None
        train(folder, CASE)
        assert bits(folder) == unbroken, number
        shutil.rmtree(folder)
    assert checkpoints > 80


@pytest.mark.slow
def test_e3_a_failed_flush_is_a_failed_commit(place, unbroken, monkeypatch):
    """Once flushing fails, the same file is not flushed again, and nothing newer is taken for stored."""
    calls = Calls(lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", calls)
        train(place / "counted", CASE)
    for number in [number for number, name in enumerate(calls.names) if name == "fsync"]:
        folder = place / "run"
        failing = failing_at(number, errno.EIO)
        with monkeypatch.context() as patch:
            patch.setattr(files, "os", failing)
            with pytest.raises(StorageError, match="input/output error"):
                train(folder, CASE)
        assert "fsync" not in failing.names[number + 1 :], "flushed again"
        train(folder, CASE)
        assert bits(folder) == unbroken, number
        shutil.rmtree(folder)


@pytest.mark.slow
def test_e1_files_may_not_grow(place, server):
    """Forty limits on the size of a file, from nothing to enough: what a full disk does to the large ones first."""
    case = Case()
    run_to_end(server, place / "unbroken", case)
    largest = max(path.stat().st_size for path in (place / "unbroken").rglob("*"))
    done = 0
    for share in range(40):
        folder = place / f"run{share}"
        child = Child(server, folder, case, Trouble(file_bytes=largest * share // 38))
        code = child.end()
        assert code in (0, 7)
        done += code == 0
        if code:
            message = child.last_message()
            assert "file too large" in message
            assert not leftovers(folder)
            before = tree(folder)
            _, problems = Checkpoints(folder / "checkpoint").newest()
            assert not problems
            assert tree(folder) == before
        run_to_end(server, folder, case)
        assert bits(folder) == bits(place / "unbroken"), share
    assert 1 <= done <= 20


def test_e1_a_full_disk_says_what_is_needed_and_free(place, monkeypatch):
    interrupted(place / "run")
    kept, _ = Checkpoints(place / "run" / "checkpoint").newest()
    write = os.write

    def full(descriptor, data):
        if len(data) > 5000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(files.os, "write", full)
        with pytest.raises(StorageError, match=r"no space left on device \([\d,]+ bytes needed, [\d,]+ bytes free\)"):
            train(place / "run")
    found, problems = Checkpoints(place / "run" / "checkpoint").newest()
    assert not problems
    assert found.state == kept.state
    train(place / "run")
    train(place / "unbroken")
    assert bits(place / "run") == bits(place / "unbroken")


def test_e2_the_metric_log_too(place, monkeypatch):
    opened = files.Path.open

    def refuse(path, mode="r", *rest, **options):
        if "a" in mode:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(path, mode, *rest, **options)

    with monkeypatch.context() as patch:
        patch.setattr(files.Path, "open", refuse)
        with pytest.raises(StorageError, match=r"cannot write .*metrics.jsonl: no space left"):
            train(place / "run", CASE)
    train(place / "run", CASE)


def test_e2_a_file_where_a_folder_has_to_be(place):
    (place / "file").write_bytes(b"")
    with pytest.raises(StorageError) as caught:
        train(place / "file" / "run", CASE)
    assert caught.value.exit_code == 7


@pytest.mark.parametrize("is_begun", [False, True])
def test_e2_a_folder_without_permission(place, server, is_begun):
    """Real permission bits, seen by a user who is not root."""
    folder = place / "run"
    place.chmod(0o755)
    if is_begun:
        interrupted(folder, CASE, steps=1)
    else:
        folder.mkdir()
    before = tree(folder)
    for path in [folder, *folder.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    child = Child(server, folder, CASE, Trouble(is_unprivileged=True))
    code = child.end()
    message = child.last_message()
    assert code == 7, message
    assert "permission denied" in message
    assert "Fix: choose a folder you can write to" in message
    assert tree(folder) == before
