"""R1, R2, R3, R9: a run that is killed goes on with the same bits, wherever the kill falls."""

from __future__ import annotations

import random
import time

import pytest
from reliability.children import Child, killed_after, run_to_end
from reliability.faults import Calls
from reliability.small_run import Case, bits, leftovers, manifest, train, tree
from reliability.worker import Trouble

from sdlora import files
from sdlora.engine.checkpoint import Checkpoints

CASE = Case()


@pytest.fixture(scope="module")
def unbroken(module_place, server):
    """The bits of a run that nothing happens to, and its seconds from the first step to the end."""
    folder = module_place / "run"
    child = Child(server, folder, CASE)
    child.wait_for_message()
    begun = time.monotonic()
    assert child.end() == 0
    return bits(folder), time.monotonic() - begun


def test_children_and_tests_compute_the_same_bits(unbroken, place):
    train(place / "run", CASE)
    assert bits(place / "run") == unbroken[0]


@pytest.mark.slow
def test_r1_a_kill_at_any_instant(unbroken, place, server):
    expected, seconds = unbroken
    delays = random.Random(1)
    kills = 0
    for trial in range(40):
        folder = place / f"run{trial}"
        kills += killed_after(server, folder, CASE, delays.uniform(0, seconds)) == -9
        run_to_end(server, folder, CASE)
        assert bits(folder) == expected, trial
        assert not leftovers(folder)
    assert kills >= 25


@pytest.mark.slow
@pytest.mark.parametrize("method", ["finetune", "inflora", "joint", "lora", "simplecil"])
def test_r1_every_kind_of_method(method, place, server):
    case = Case(method=method)
    run_to_end(server, place / "unbroken", case)
    for step in (1, 4, 8) if method != "simplecil" else ():
        child = Child(server, place / f"run{step}", case, Trouble(at_step=step))
        assert child.end() == -9
    for task in (1, 2) if method != "joint" else (1,):
        child = Child(server, place / f"end{task}", case, Trouble(after_end_task=(0.0, task)))
        assert child.end() == -9
    for folder in place.iterdir():
        run_to_end(server, folder, case)
        assert bits(folder) == bits(place / "unbroken"), folder


def test_r1_at_most_one_interval_is_repeated(place, server):
    """Killed at step 8 of 12 with a checkpoint after every third, it takes steps 7 and 8 again, no more."""
    child = Child(server, place / "run", CASE, Trouble(at_step=8))
    assert child.end() == -9
    checkpoint, _ = Checkpoints(place / "run" / "checkpoint").newest()
    at = checkpoint.progress
    assert (at.task, at.phase, at.epoch, at.step) == (1, "begin", 0, 0)


@pytest.mark.slow
def test_r2_a_kill_at_every_call_of_the_write_primitive(place, server, monkeypatch):
    case = Case(method="probe", epochs=1)
    calls = Calls(lambda *_: None)
    with monkeypatch.context() as patch:
        patch.setattr(files, "os", calls)
        train(place / "unbroken", case)
    assert set(calls.names) >= {"open", "write", "fsync", "replace", "rename", "mkdir"}
    assert len(calls.names) > 100
    for number in range(len(calls.names)):
        folder = place / f"run{number}"
        child = Child(server, folder, case, Trouble(at_call=number))
        assert child.end() == -9, number
        checkpoint, problems = Checkpoints(folder / "checkpoint").newest()
        assert not problems, "a kill must never damage a checkpoint"
        assert checkpoint is not None or "rename" not in calls.names[:number], "a kill must never cost one"
        run_to_end(server, folder, case)
        assert bits(folder) == bits(place / "unbroken"), number
        assert not leftovers(folder)


@pytest.mark.slow
def test_r3_ten_kills_in_one_epoch(unbroken, place, server):
    """One step a session: each is stopped by a signal at its first step, or killed a little later."""
    for seed in range(5):
        case = Case(seed=seed, batch_size=1, epochs=1)
        run_to_end(server, place / f"unbroken{seed}", case)
        folder, delays = place / f"run{seed}", random.Random(seed)
        for kill in range(10):
            child = Child(server, folder, case)
            child.wait_for_message()
            child.signal(15)
            time.sleep(delays.uniform(0, 0.02))
            child.signal(9)
            assert child.end() in (-9, 143), kill
        assert manifest(folder)["status"] != "finished"
        run_to_end(server, folder, case)
        assert bits(folder) == bits(place / f"unbroken{seed}"), seed


@pytest.mark.slow
def test_r9_a_kill_between_the_end_of_a_task_and_its_commit(unbroken, place, server):
    for trial in range(20):
        folder = place / f"run{trial}"
        child = Child(server, folder, CASE, Trouble(after_end_task=(0.002 * (trial // 2), 1 + trial % 2)))
        assert child.end() in (-9, 0)
        run_to_end(server, folder, CASE)
        assert bits(folder) == unbroken[0], trial


def test_r9_a_finished_run_changes_no_byte(place, server):
    folder = place / "run"
    first = train(folder, CASE)
    before = tree(folder)
    times = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    assert train(folder, CASE) == first
    run_to_end(server, folder, CASE)
    assert tree(folder) == before
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == times
