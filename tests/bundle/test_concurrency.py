"""B1, B6, C1, C3, C4: readers and writers at once, with and without locks, and writers that are killed."""

import random
import signal
import time

import pytest
from bundle import writers
from bundles import contents, description, give_base, tensors, with_base
from lessons import learner

from sdlora.bundle import commit_lesson, read_bundle, read_config, writing
from sdlora.errors import BundleError, BusyError

GENERATIONS = 300
READERS = 4


@pytest.fixture
def shop(tmp_path):
    path = tmp_path / "shop"
    commit_lesson(path, writers.lesson(1), tensors(1), parent_generation=None)
    return path


@pytest.mark.slow
def test_b1_readers_see_one_generation_whole(shop, server):
    """C4 too: half of the readers sleep between a description and its weights, and swept files are looked up again."""
    pairs = [server.Pipe(duplex=False) for _ in range(READERS)]
    pauses = [0.0, 0.0, 0.002, 0.002]
    readers = [
        server.Process(target=writers.read_many, args=(shop, GENERATIONS, pause, theirs), daemon=True)
        for pause, (_, theirs) in zip(pauses, pairs, strict=True)
    ]
    for reader in readers:
        reader.start()
    with writers.begun(server, writers.commit_many, shop, GENERATIONS) as (_, messages):
        assert messages.recv() == GENERATIONS
    seen = [ours.recv() for ours, _ in pairs]
    assert all(isinstance(count, int) and count > 1 for count in seen), seen
    assert writers.is_consistent(shop) == GENERATIONS


@pytest.mark.slow
@pytest.mark.parametrize("is_locked", [True, False])
def test_c1_c3_no_lesson_is_lost_with_locks_or_without(shop, server, is_locked):
    """Eight processes try a hundred times each: what they counted is what is there, and the losers were told."""
    pairs = [server.Pipe(duplex=False) for _ in range(8)]
    processes = [
        server.Process(target=writers.compete, args=(shop, 100, theirs), kwargs={"is_locked": is_locked}, daemon=True)
        for _, theirs in pairs
    ]
    for process in processes:
        process.start()
    counts = [ours.recv() for ours, _ in pairs]
    assert all(isinstance(count, int) for count in counts), counts
    assert read_bundle(shop).config.generation == 1 + sum(counts)
    assert sum(counts) >= (1 if is_locked else 100)  # whoever finds the lock held has one try less
    assert not list(shop.rglob("*.partial"))


def test_c1_with_the_lock_the_second_writer_is_refused_at_once(shop):
    import threading

    refused = []

    def enter():
        try:
            with writing(shop):
                pass
        except BusyError as error:
            refused.append(error.exit_code)

    with writing(shop):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert refused == [4]


@pytest.mark.slow
def test_b6_a_writer_that_is_killed_leaves_the_old_bundle_or_the_new_one(shop, server, tmp_path):
    """Killed before every call of the operating system in turn, until a commit needs no more calls."""
    commit_lesson(shop, writers.lesson(2), tensors(2), parent_generation=1)
    outcomes = []
    for call in range(100):
        before, generation = contents(shop), read_config(shop).generation
        process = server.Process(target=writers.commit_and_die, args=(shop, call))
        process.start()
        process.join(60)
        found = read_bundle(shop)
        is_new = found.config.generation == generation + 1
        outcomes.append(is_new)
        assert is_new or found.config.generation == generation
        if not is_new:
            assert {name: data for name, data in contents(shop).items() if name in before} == before
        if process.exitcode == 0:
            break
        assert process.exitcode == -signal.SIGKILL
        with writing(shop):  # the next writer sweeps
            assert not list(shop.rglob("*.partial"))
        commit_lesson(shop, writers.lesson(call), tensors(call), parent_generation=read_config(shop).generation)
    assert process.exitcode == 0
    assert False in outcomes
    assert outcomes.count(True) > 1
    assert sum(name.startswith("model-") for name in contents(shop)) <= 2


@pytest.mark.slow
@pytest.mark.parametrize("is_own", [False, True], ids=["backbone elsewhere", "backbone in the bundle"])
def test_a_killed_start_can_be_started_again(is_own, server, tmp_path):
    described = with_base(description(("a", "b"))) if is_own else description(("a", "b"))
    for call in range(100):
        path = tmp_path / f"{call}"
        process = server.Process(target=writers.begin_and_die, args=(path, call), kwargs={"is_own": is_own})
        process.start()
        process.join(60)
        try:
            assert read_bundle(path).config.generation == 1
        except BundleError:
            commit_lesson(path, described, tensors(), parent_generation=None, give_base=give_base)
            assert read_bundle(path).config.generation == 1
        if process.exitcode == 0:
            return
    pytest.fail("a commit never ends")


KILLS = 20


@pytest.mark.slow
def test_b6_a_lesson_that_is_killed_at_any_moment_leaves_the_old_model_or_the_new_one(server, tmp_path):
    """Killed at random between its first step and its end; what comes out has the bits of one of the two."""
    moments, path = random.Random(0), tmp_path / "m"
    learner("sdlora", (0, 1), adapt_tasks=None).save(path)  # every lesson trains
    old, whole = contents(path), tmp_path / "whole"
    learner("sdlora", (0, 1), adapt_tasks=None).save(whole)
    begun = time.monotonic()
    with writers.begun(server, writers.teach, whole, (2, 3)) as (_, messages):
        messages.recv()
        begun = time.monotonic()
    seconds = time.monotonic() - begun
    new = read_bundle(whole).config.weights
    seen = set()
    for _ in range(KILLS):
        ours, theirs = server.Pipe(duplex=False)
        process = server.Process(target=writers.teach, args=(path, (2, 3), theirs), daemon=True)
        process.start()
        assert ours.recv() == "step"
        time.sleep(moments.uniform(0, 1.2 * seconds))
        process.kill()
        process.join(60)
        found = read_bundle(path).config
        seen.add(found.generation)
        if found.generation == 1:
            assert {name: data for name, data in contents(path).items() if name in old} == old
            continue
        assert found.weights == new
        for file in (path / "history").iterdir():
            file.unlink()
        for file in path.glob("model-*"):
            file.unlink()
        for name, data in old.items():
            (path / name).write_bytes(data)
    assert seen <= {1, 2}
    assert 1 in seen
