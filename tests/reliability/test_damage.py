"""R4, R7: damage to what is stored is named, and the checkpoint before it used, or the run refused."""

from __future__ import annotations

import random
import shutil

import pytest
from reliability.small_run import STEPS, Case, Warnings, bits, interrupted, leftovers, train, tree

from sdlora.engine.checkpoint import Checkpoints
from sdlora.errors import RunError

pytestmark = pytest.mark.slow


CASE = Case()
FILES = ("state.json", "tensors.safetensors", "metrics.jsonl", "manifest.json")


def newest(folder):
    return max((folder / "checkpoint").iterdir())


@pytest.fixture(scope="module")
def unbroken(module_place):
    train(module_place / "run", CASE)
    return bits(module_place / "run")


@pytest.fixture
def halfway(place):
    return interrupted(place / "run")


def check_named(folder, path, before):
    """The damage at `path` is named and the checkpoint before is given."""
    checkpoint, problems = Checkpoints(folder / "checkpoint").newest()
    assert len(problems) == 1
    assert str(path) in problems[0] or str(path.parent / "manifest.json") in problems[0]
    assert checkpoint.state == before.state


def test_r4_truncations(halfway):
    path = newest(halfway)
    (older,) = set((halfway / "checkpoint").iterdir()) - {path}
    whole = {name: (path / name).read_bytes() for name in FILES}
    shutil.move(path, halfway / "aside")
    before, _ = Checkpoints(halfway / "checkpoint").newest()
    shutil.move(halfway / "aside", path)
    assert older.is_dir()
    offsets = random.Random(2)
    for trial in range(50):
        name = FILES[trial % len(FILES)]
        (path / name).write_bytes(whole[name][: offsets.randrange(len(whole[name]) - 1)])
        check_named(halfway, path / name, before)
        (path / name).write_bytes(whole[name])


def test_r4_flipped_bits(halfway):
    path = newest(halfway)
    whole = {name: bytearray((path / name).read_bytes()) for name in FILES[:3]}
    places = random.Random(3)
    for trial in range(100):
        name = FILES[trial % 3]
        place = places.randrange(8 * len(whole[name]))
        flipped = bytearray(whole[name])
        flipped[place // 8] ^= 1 << place % 8
        (path / name).write_bytes(flipped)
        checkpoint, problems = Checkpoints(halfway / "checkpoint").newest()
        assert str(path / name) in problems[0]
        assert checkpoint is not None
        (path / name).write_bytes(whole[name])
    assert Checkpoints(halfway / "checkpoint").newest()[1] == []


def test_r4_a_flipped_bit_in_the_list_of_digests(halfway):
    """It is noticed, or it changed nothing that is read (a space, say)."""
    path = newest(halfway) / "manifest.json"
    whole = path.read_bytes()
    good, _ = Checkpoints(halfway / "checkpoint").newest()
    noticed = 0
    for place in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[place // 8] ^= 1 << place % 8
        path.write_bytes(flipped)
        checkpoint, problems = Checkpoints(halfway / "checkpoint").newest()
        noticed += bool(problems)
        assert problems or checkpoint.state == good.state
    assert noticed > 0.8 * 8 * len(whole)


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("damage", ["removed", "emptied", "cut"])
def test_r4_the_run_goes_on_from_the_one_before(halfway, unbroken, name, damage):
    path = newest(halfway) / name
    data = path.read_bytes()
    path.unlink()
    if damage != "removed":
        path.write_bytes(b"" if damage == "emptied" else data[:-2])
    observer = Warnings()
    train(halfway, CASE, observer)
    assert len(observer.messages) == 1
    assert str(path) in observer.messages[0]
    assert "the checkpoint before it is used" in observer.messages[0]
    assert bits(halfway) == unbroken
    assert not leftovers(halfway)


def test_r4_a_damaged_checkpoint_goes_once_newer_ones_are_there(halfway, unbroken):
    path = newest(halfway)
    (path / "state.json").unlink()
    train(halfway, CASE)
    assert not path.exists()
    assert len(list((halfway / "checkpoint").iterdir())) == 2


def test_r4_none_valid_is_refused(halfway):
    for path in (halfway / "checkpoint").iterdir():
        (path / "tensors.safetensors").write_bytes(b"")
    before = tree(halfway)
    with pytest.raises(RunError, match="no checkpoint of this run is usable") as caught:
        train(halfway, CASE)
    assert str(caught.value).count("tensors.safetensors") == 2
    assert caught.value.exit_code == 3
    assert tree(halfway) == before


def test_r4_lost_checkpoints_are_refused(halfway):
    shutil.rmtree(halfway / "checkpoint")
    before = tree(halfway)
    with pytest.raises(RunError, match="lost its checkpoints"):
        train(halfway, CASE)
    assert tree(halfway) == before


def test_r4_what_is_not_ours_is_not_overwritten(place):
    (place / "run").mkdir()
    (place / "run" / "matrix.json").write_text("mine")
    with pytest.raises(RunError, match=r"matrix.json is not from a run of sdlora"):
        train(place / "run", CASE)
    assert (place / "run" / "matrix.json").read_text() == "mine"


@pytest.mark.parametrize("name", ["manifest.json", "matrix.json", "metrics.jsonl", "recipe.toml"])
def test_r4_what_people_read_is_repaired(halfway, unbroken, name):
    (halfway / name).unlink()
    train(halfway, CASE)
    assert bits(halfway) == unbroken


@pytest.mark.parametrize("name", ["manifest.json", "matrix.json"])
@pytest.mark.parametrize("data", [None, b"", b"[]", b"{}", b'{"format": 1'])
def test_r4_a_finished_run_is_repaired_too(place, unbroken, name, data):
    train(place / "run", CASE)
    (place / "run" / name).unlink()
    if data is not None:
        (place / "run" / name).write_bytes(data)
    assert train(place / "run", CASE).status == "finished"
    assert bits(place / "run") == unbroken


def test_r7_a_torn_line_at_each_byte(place, unbroken):
    """The only checkpoint is older than the first row, so a kill may leave any part of that row."""
    case = Case(checkpoint_seconds=1e9)
    folder = interrupted(place / "run", case, steps=STEPS + 1)
    log = (folder / "metrics.jsonl").read_bytes()
    assert log.count(b"\n") == 1
    for length in range(len(log) + 1):
        (folder / "metrics.jsonl").write_bytes(log[:length])
        interrupted(folder, case, steps=1)
        assert (folder / "metrics.jsonl").read_bytes() == b"", length
    (folder / "metrics.jsonl").write_bytes(log[:-7])
    train(folder, case)
    assert bits(folder) == unbroken


def test_r7_rows_lost_before_the_checkpoint_come_back(halfway, unbroken):
    path = halfway / "metrics.jsonl"
    for data in (b"", path.read_bytes()[:-20], path.read_bytes() + b'{"event": "epo'):
        path.write_bytes(data)
        interrupted(halfway, steps=1)
    train(halfway, CASE)
    assert bits(halfway) == unbroken
