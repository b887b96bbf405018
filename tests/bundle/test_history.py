"""Which generations are kept, and going back to them."""

import json

import pytest
import torch
from bundles import contents, description, newest, record, tensors

from sdlora.bundle import commit_lesson, earlier_states, history, neighbour, read_bundle, read_config, undo
from sdlora.errors import BundleError

LESSONS = (("rose", "tulip"), ("fern",), ("ivy",), ("moss",), ("oak",))


@pytest.fixture
def garden(shop):
    """A bundle of five lessons; generation g, of g lessons, holds the value g in all its weights."""
    for number in (3, 4, 5):
        commit_lesson(shop, description(*LESSONS[:number]), tensors(number), parent_generation=number - 1)
    return shop


def kept(path):
    """Return the numbers of the generations that are more than empty files."""
    return [int(file.stem) for file in sorted((path / "history").iterdir(), key=str) if file.stat().st_size]


def num_weights(path):
    return sum(name.startswith("model-") for name in contents(path))


def test_a_mistyped_name_finds_the_bundle_beside_it(garden):
    beside = garden.with_name("shpo")
    assert neighbour(beside) == garden
    with pytest.raises(BundleError, match="does not exist") as caught:
        read_config(beside)
    assert caught.value.fix == f"did you mean {garden}?"
    assert neighbour(garden.with_name("bread")) is None
    assert neighbour(garden / "gone" / "shop") is None


def test_what_lies_in_a_bundle(garden):
    names = {name for name in contents(garden) if not name.startswith(("history/", "model-"))}
    assert names == {"config.json", "README.md"}
    assert (garden / "config.json").read_bytes() == newest(garden).read_bytes()
    assert kept(garden) == [1, 2, 3, 4, 5]
    assert num_weights(garden) == 5


def test_undo_goes_back_lesson_by_lesson(garden):
    for left in (4, 3, 2, 1):
        config = undo(garden)
        assert config.classes == description(*LESSONS[:left]).classes
        assert config.previous == (left - 1 or None)
        assert torch.equal(read_bundle(garden).tensors["head.bias"], tensors(left)["head.bias"])
    assert config.generation == 9
    before = contents(garden)
    with pytest.raises(BundleError, match="keeps no state before its last lesson"):
        undo(garden)
    assert contents(garden) == before


def test_a_lesson_after_an_undo_is_the_next_to_be_undone(garden):
    undo(garden)
    undo(garden)
    generation = read_config(garden).generation
    other = record(4, ("elm",), weights="e" * 64)
    config = commit_lesson(garden, description(*LESSONS[:3], other), tensors(9), parent_generation=generation)
    assert config.previous == generation
    assert undo(garden).classes == ("rose", "tulip", "fern", "ivy")
    assert undo(garden).classes == ("rose", "tulip", "fern")


def test_a_lesson_that_was_undone_elsewhere_is_not_gone_back_to(garden):
    """Whoever undid two lessons in memory and taught two others before saving has a bundle with none of the former."""
    others = [record(number, (f"new {number}",), weights=f"{number}" * 64) for number in (4, 5, 6)]
    config = commit_lesson(garden, description(*LESSONS[:3], *others), tensors(9), parent_generation=5)
    assert config.previous == 3
    assert undo(garden).classes == ("rose", "tulip", "fern", "ivy")


@pytest.mark.parametrize(("number", "left"), [(0, [4, 5]), (1, [4, 5]), (2, [3, 4, 5]), (10, [1, 2, 3, 4, 5])])
def test_so_many_states_are_kept(garden, monkeypatch, number, left):
    monkeypatch.setattr(history, "MAX_EARLIER", number)
    commit_lesson(garden, description(*LESSONS), tensors(5), parent_generation=5)  # the same again, as a new name is
    assert kept(garden) == [state for state in left if state != 5] + [6]
    assert num_weights(garden) == len(left)
    for _ in left[1:]:
        undo(garden)
    with pytest.raises(BundleError, match="keeps no state"):
        undo(garden)


@pytest.mark.parametrize(("states", "left"), [(0, [4, 6]), (1, [4, 6]), (2, [3, 4, 6]), (4, [1, 2, 3, 4, 6])])
def test_so_many_bytes_are_kept(garden, monkeypatch, states, left):
    monkeypatch.setattr(history, "MAX_EARLIER_BYTES", states * read_config(garden).weights.size)
    commit_lesson(garden, description(*LESSONS), tensors(5), parent_generation=5)
    assert kept(garden) == left


def test_a_hundred_lessons_take_no_more_room_than_eleven(tmp_path):
    path = tmp_path / "m"
    lessons = [("a", "b"), *[(f"class {number}",) for number in range(2, 31)]]
    for number in range(1, 31):
        commit_lesson(path, description(*lessons[:number]), tensors(number), parent_generation=number - 1 or None)
    assert num_weights(path) == 1 + history.MAX_EARLIER
    assert len(kept(path)) == 1 + history.MAX_EARLIER
    assert [state.generation for state in earlier_states(path, read_config(path))] == list(range(29, 19, -1))


def test_names_outlive_undo_and_are_no_lesson(shop):
    commit_lesson(shop, description(("Rosa", "tulip"), ("fern",)), tensors(2), parent_generation=2)
    assert undo(shop).classes == ("Rosa", "tulip")


@pytest.mark.parametrize("what", ["weights", "document"])
def test_undo_mends_a_damaged_newest_generation(garden, what):
    file = garden / read_config(garden).weights.file if what == "weights" else newest(garden)
    file.write_bytes(file.read_bytes()[:-2])
    with pytest.raises(BundleError, match=r"Fix: sdlora learn .*shop --undo restores the state before the last lesson"):
        read_bundle(garden)
    assert len(undo(garden).tasks) == 4
    assert read_bundle(garden).config.generation == 6
    assert len(undo(garden).tasks) == 3


@pytest.mark.parametrize("data", [b"", b"{}", b"\xff"])
def test_a_damaged_earlier_state_costs_no_newer_one(garden, data):
    (garden / "history" / "3.json").write_bytes(data)
    assert [state.generation for state in earlier_states(garden, read_config(garden))] == [4]
    assert undo(garden).previous is None
    assert read_bundle(garden).config.classes == description(*LESSONS[:4]).classes


def test_an_undone_first_lesson_cannot_be(tmp_path):
    commit_lesson(tmp_path / "m", description(("a", "b")), tensors(), parent_generation=None)
    with pytest.raises(BundleError, match="keeps no state"):
        undo(tmp_path / "m")


@pytest.mark.parametrize("previous", [2, 3])
def test_nothing_comes_before_what_is_newer(shop, previous):
    document = json.loads(newest(shop).read_text())
    newest(shop).write_text(json.dumps(document | {"previous": previous}))
    with pytest.raises(BundleError, match=f"generation {previous} cannot come before generation 2"):
        read_bundle(shop)


def test_whoever_names_a_run_is_told_where_its_model_lies(tmp_path):
    (tmp_path / "seed0" / "model" / "history").mkdir(parents=True)
    (tmp_path / "seed0" / "model" / "history" / "1.json").write_text("{}")
    with pytest.raises(BundleError, match=r"Fix: the model of a run is .*seed0/model$"):
        history.newest(tmp_path / "seed0")
    with pytest.raises(BundleError) as caught:
        history.newest(tmp_path)
    assert caught.value.fix is None
