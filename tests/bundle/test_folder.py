"""What a bundle promises of its files: B2, B4, B6, B7, H1, H3, and what undoing and conflicts do."""

import errno
import json
import os
import random
import stat
from pathlib import Path

import pytest
import torch
from bundles import contents, description, record, tensors
from reliability.faults import Calls

from sdlora import files
from sdlora.bundle import BundleConfig, commit_lesson, is_bundle, read_bundle, read_config, undo, writing
from sdlora.errors import BundleError, BusyError, StorageError


def newest(path):
    return path / "history" / f"{max(int(file.stem) for file in (path / 'history').iterdir())}.json"


def rewrite(path, **changes):
    """Change the newest generation's document as somebody with an editor would."""
    file = newest(path)
    document = json.loads(file.read_text()) | changes
    file.write_text(json.dumps({key: value for key, value in document.items() if value is not ...}))


def test_a_bundle_comes_back(shop):
    bundle = read_bundle(shop)
    assert bundle.config.classes == ("rose", "tulip", "fern")
    assert bundle.config.version == f"2-{bundle.config.weights.sha256[:4]}"
    assert all(torch.equal(bundle.tensors[name], value) for name, value in tensors(2).items())
    assert bundle.config == read_config(shop) == BundleConfig.model_validate_json(newest(shop).read_bytes())


def test_two_generations_are_kept_and_no_more(shop):
    commit_lesson(shop, description(("rose", "tulip"), ("fern",), ("ivy",)), tensors(3), parent_generation=2)
    names = contents(shop).keys()
    documents = {name: bool(data) for name, data in contents(shop).items() if name.startswith("history")}
    assert documents == {"history/1.json": False, "history/2.json": True, "history/3.json": True}
    assert sum(name.startswith("model-") for name in names) == 2
    assert names - {n for n in names if n.startswith(("history", "model-"))} == {"config.json", "README.md"}
    assert (shop / "config.json").read_bytes() == newest(shop).read_bytes()


def test_saving_twice_gives_the_same_bytes(shop, tmp_path):
    other = tmp_path / "other"
    commit_lesson(other, description(("rose", "tulip")), tensors(1), parent_generation=None)
    commit_lesson(other, description(("rose", "tulip"), ("fern",)), tensors(2), parent_generation=1)
    assert contents(other) == contents(shop)


def test_undo_restores_the_state_before_the_last_lesson_once(shop):
    config = undo(shop)
    assert (config.generation, config.previous, config.classes) == (3, None, ("rose", "tulip"))
    assert torch.equal(read_bundle(shop).tensors["head.bias"], tensors(1)["head.bias"])
    with pytest.raises(BundleError, match="keeps no state before its last lesson"):
        undo(shop)
    commit_lesson(shop, description(("rose", "tulip"), ("moss",)), tensors(4), parent_generation=3)
    assert undo(shop).classes == ("rose", "tulip")


def test_names_outlive_undo_and_are_no_lesson(shop):
    commit_lesson(shop, description(("Rosa", "tulip"), ("fern",)), tensors(2), parent_generation=2)
    assert undo(shop).classes == ("Rosa", "tulip")


@pytest.mark.parametrize("what", ["weights", "document"])
def test_undo_mends_a_damaged_newest_generation(shop, what):
    file = shop / read_config(shop).weights.file if what == "weights" else newest(shop)
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(BundleError, match=r"Fix: sdlora learn .*shop --undo restores the state before the last lesson"):
        read_bundle(shop)
    assert undo(shop).classes == ("rose", "tulip")
    assert read_bundle(shop).config.generation == 3


def test_an_undone_first_lesson_cannot_be(tmp_path):
    commit_lesson(tmp_path / "m", description(("a", "b")), tensors(), parent_generation=None)
    with pytest.raises(BundleError, match="keeps no state"):
        undo(tmp_path / "m")


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


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda path: None, "does not exist"),
        (lambda path: path.mkdir(), "is not a bundle: it holds no history"),
        (lambda path: path.write_text("x"), "is not a model folder"),
    ],
)
def test_what_is_no_bundle_is_told(tmp_path, make, reason):
    make(tmp_path / "m")
    assert not is_bundle(tmp_path / "m")
    with pytest.raises(BundleError, match=reason) as caught:
        read_bundle(tmp_path / "m")
    assert caught.value.exit_code == 3


def test_b2_every_cut_is_noticed(shop):
    for file in (newest(shop), shop / read_config(shop).weights.file):
        data = file.read_bytes()
        for length in range(0, len(data), 97):
            file.write_bytes(data[:length])
            with pytest.raises(BundleError, match=file.name):
                read_bundle(shop)
        file.write_bytes(data + b"\0")
        with pytest.raises(BundleError, match=file.name):
            read_bundle(shop)
        file.write_bytes(data)
    read_bundle(shop)


def test_b2_every_flipped_bit_of_the_weights_is_noticed(shop):
    file = shop / read_config(shop).weights.file
    data = file.read_bytes()
    for place in random.Random(0).sample(range(8 * len(data)), 500):
        flipped = bytearray(data)
        flipped[place // 8] ^= 1 << place % 8
        file.write_bytes(flipped)
        with pytest.raises(BundleError, match=r"has sha256 [0-9a-f]{8}, not [0-9a-f]{8}"):
            read_bundle(shop)


def test_b2_missing_and_foreign_files_are_noticed(shop, tmp_path):
    other = tmp_path / "other"
    commit_lesson(other, description(("x", "y")), tensors(9), parent_generation=None)
    weights, theirs = shop / read_config(shop).weights.file, other / read_config(other).weights.file
    own = weights.read_bytes()
    weights.write_bytes(theirs.read_bytes())
    with pytest.raises(BundleError, match="has sha256"):
        read_bundle(shop)
    weights.unlink()
    with pytest.raises(BundleError, match="is missing"):
        read_bundle(shop)
    weights.mkdir()
    with pytest.raises(BundleError, match="is no file"):
        read_bundle(shop)
    weights.rmdir()
    weights.write_bytes(own)
    newest(shop).write_bytes(newest(other).read_bytes())
    with pytest.raises(BundleError, match="it says that it is generation 1"):
        read_bundle(shop)


def test_b4_a_newer_format_is_refused_with_the_version_that_wrote_it(shop):
    rewrite(shop, format=3, sdlora="0.9\x1b[31m", unheard_of=True)
    with pytest.raises(
        BundleError, match=r"(?s)has format 3, from sdlora 0\.9\\x1b.*Fix: pip install -U sdlora"
    ) as caught:
        read_bundle(shop)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("key", list(BundleConfig.model_fields))
def test_b4_a_missing_or_wrong_field_is_named(shop, key):
    before = newest(shop).read_bytes()
    if BundleConfig.model_fields[key].is_required():
        rewrite(shop, **{key: ...})
        with pytest.raises(BundleError, match=key):
            read_bundle(shop)
        newest(shop).write_bytes(before)
    rewrite(shop, **{key: {"a": "b"}})
    with pytest.raises(BundleError, match=key):
        read_bundle(shop)


@pytest.mark.parametrize(
    "name",
    [
        "../model-0123456789abcdef.safetensors",
        "/etc/passwd",
        "model-x.safetensors",
        "MODEL-0123456789abcdef.safetensors",
    ],
)
def test_h1_a_bundle_cannot_name_a_file_elsewhere(shop, name):
    weights = json.loads(newest(shop).read_text())["weights"]
    rewrite(shop, weights=weights | {"file": name})
    with pytest.raises(BundleError, match=r"weights\.file"):
        read_bundle(shop)


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b"\xff",
        b'{"format": 1, "format": 1}',
        b'{"format": NaN}',
        b'{"format": 1e999}',
        b'{"format": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
        b'{"a": ' * 40 + b"1" + b"}" * 40,
        b" " * 1_000_001,
        b'{"format": -1}',
        b'{"format": true}',
        b'{"format": "1"}',
    ],
)
def test_h3_documents_are_read_strictly(shop, text):
    newest(shop).write_bytes(text)
    with pytest.raises(BundleError, match=r"2\.json"):
        read_bundle(shop)


def test_files_that_are_no_generations_do_not_count(shop):
    for name in ("007.json", "0.json", "-1.json", "3.json.partial", "x.json", f"{10**20}.json", "4.JSON"):
        (shop / "history" / name).write_text("{}")
    assert read_config(shop).generation == 2


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
