"""What a bundle promises to whoever changes it: B3, B6, B7, C3."""

import errno
import os
import stat
from pathlib import Path

import pytest
from bundle import writers
from bundles import contents, description, record, tensors
from reliability.faults import Calls

from sdlora import files
from sdlora.bundle import commit_lesson, is_bundle, read_bundle, read_config, writing
from sdlora.errors import BundleError, BusyError, StorageError


def test_saving_twice_gives_the_same_bytes(shop, tmp_path):
    other = tmp_path / "other"
    commit_lesson(other, description(("rose", "tulip")), tensors(1), parent_generation=None)
    commit_lesson(other, description(("rose", "tulip"), ("fern",)), tensors(2), parent_generation=1)
    assert contents(other) == contents(shop)


def test_c3_two_lessons_cannot_follow_the_same_one(shop):
    before = contents(shop)
    with pytest.raises(BusyError, match="changed by another process meanwhile") as caught:
        commit_lesson(shop, description(("rose", "tulip"), ("moss",)), tensors(5), parent_generation=1)
    assert caught.value.exit_code == 4
    with pytest.raises(BusyError):
        commit_lesson(shop, description(("x", "y")), tensors(5), parent_generation=None)
    assert contents(shop) == before


def test_a_bundle_begins_only_where_nothing_is(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_text("x")
    for place in ("file", "photos"):
        with pytest.raises(BundleError, match="Expected: a new or empty folder"):
            commit_lesson(tmp_path / place, description(("a", "b")), tensors(), parent_generation=None)
    (tmp_path / "killed" / "history").mkdir(parents=True)
    (tmp_path / "killed" / "model-0123456789abcdef.safetensors").write_text("an unfinished start")
    commit_lesson(tmp_path / "killed", description(("a", "b")), tensors(), parent_generation=None)
    assert read_bundle(tmp_path / "killed").config.generation == 1


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600), (0o002, 0o664)])
def test_b7_a_new_bundle_follows_the_umask(tmp_path, mask, mode):
    before = os.umask(mask)
    try:
        commit_lesson(tmp_path / "m", description(("a", "b")), tensors(), parent_generation=None)
    finally:
        os.umask(before)
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "m").rglob("*") if file.is_file()} == {mode}


def test_b7_the_next_generation_is_for_whoever_could_use_the_former_one(shop):
    for file in shop.rglob("*"):
        if file.is_file():
            file.chmod(0o664)
    before = os.umask(0o077)
    try:
        commit_lesson(shop, description(("rose", "tulip"), ("fern",), ("ivy",)), tensors(3), parent_generation=2)
    finally:
        os.umask(before)
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in shop.rglob("*") if file.is_file()}
    assert set(modes.values()) == {0o664}


def test_b7_a_linked_folder_stays_one(shop, tmp_path):
    (tmp_path / "link").symlink_to(shop)
    commit_lesson(
        tmp_path / "link", description(("rose", "tulip"), ("fern",), ("ivy",)), tensors(3), parent_generation=2
    )
    assert (tmp_path / "link").is_symlink()
    assert read_config(shop).generation == 3


@pytest.mark.slow
def test_b7_a_folder_of_a_group_is_for_all_of_it(tmp_path, server):
    """Two users of one group teach in turn, each with an umask that gives the group nothing to write."""
    is_root, path = os.geteuid() == 0, tmp_path / "shop"
    tmp_path.chmod(0o755)
    path.mkdir()
    if is_root:
        os.chown(path, 0, 100)
    path.chmod(0o2775)
    for number, user in enumerate((3001, 3002, 3001, 3002), start=1):
        ours, theirs = server.Pipe(duplex=False)
        process = server.Process(target=writers.commit_as, args=(path, user, theirs))
        process.start()
        assert ours.recv() == (user if is_root else os.geteuid(), number)
        process.join()
    assert stat.S_IMODE((path / "history").stat().st_mode) & 0o777 == 0o775
    assert stat.S_IMODE((path / ".lock").stat().st_mode) == 0o664


def commit_third(path):
    return commit_lesson(path, description(("rose", "tulip"), ("fern",), ("ivy",)), tensors(3), parent_generation=2)


def count_calls(path):
    files.os = calls = Calls(lambda number, name: None)
    try:
        commit_third(path)
    finally:
        files.os = os
    return calls.names


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EACCES, errno.EMFILE])
def test_b6_a_commit_that_fails_leaves_every_byte(tmp_path, number):
    """An error at every call of the operating system: nothing has happened, or the lesson is whole."""
    trial = tmp_path / "trial"
    begin(trial)
    names = count_calls(trial)
    committing = names.index("link")
    for fault in range(len(names)):
        path = tmp_path / f"{fault}"
        begin(path)
        before = contents(path)

        def fail(call, name, fault=fault):
            if call == fault:
                raise OSError(number, os.strerror(number))

        files.os = Calls(fail)
        try:
            commit_third(path)
            succeeded = True
        except StorageError:
            succeeded = False
        finally:
            files.os = os
        if fault <= committing:
            assert not succeeded or names[fault] in ("unlink", "chmod")
            if not succeeded:
                assert contents(path) == before, (fault, names[fault])
        assert read_bundle(path).config.generation in (2, 3)
        if read_config(path).generation == 2:
            commit_third(path)
        with writing(path):
            assert not list(path.rglob("*.partial"))


def begin(path):
    commit_lesson(path, description(("rose", "tulip")), tensors(1), parent_generation=None)
    commit_lesson(path, description(("rose", "tulip"), ("fern",)), tensors(2), parent_generation=1)


def test_a_file_system_without_hard_links_is_as_good(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no hard links here")

    monkeypatch.setattr(files.os, "link", refuse)
    begin(tmp_path / "m")
    with pytest.raises(BusyError):
        commit_lesson(tmp_path / "m", description(("x", "y")), tensors(5), parent_generation=1)
    assert read_bundle(tmp_path / "m").config.generation == 2


def test_a_card_that_cannot_be_written_is_no_lost_lesson(shop, caplog):
    (shop / "README.md").unlink()
    (shop / "README.md").mkdir()
    assert commit_third(shop).generation == 3
    assert "README.md" in caplog.text
    assert read_config(shop).generation == 3


def test_orphans_of_killed_writers_go_with_the_next_lesson(shop):
    orphan = shop / "model-0123456789abcdef.safetensors"
    orphan.write_bytes(b"half")
    os.utime(orphan, (1, 1))
    commit_third(shop)
    assert not orphan.exists()


def test_weights_that_another_writer_may_be_about_to_commit_stay(shop):
    orphan = shop / "model-0123456789abcdef.safetensors"
    orphan.write_bytes(b"whole")
    os.utime(orphan, (2**32, 2**32))
    commit_third(shop)
    assert orphan.exists()


def test_a_description_too_long_to_be_read_is_not_written(tmp_path):
    long = tuple(f"{index:05} {'x' * 190}" for index in range(6000))
    with pytest.raises(ValueError, match=r"takes .* bytes"):
        commit_lesson(tmp_path / "m", description(long), tensors(), parent_generation=None)
    assert not is_bundle(tmp_path / "m")


def test_a_lesson_keeps_its_record(tmp_path):
    lesson = record(1, ("a", "b"), skipped=3)
    commit_lesson(Path(tmp_path / "m"), description(lesson), tensors(), parent_generation=None)
    assert read_config(tmp_path / "m").tasks == (lesson,)
