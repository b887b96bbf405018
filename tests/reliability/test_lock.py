"""C1, C2: one writer at a time, told at once who it is; and a lock that dies with its holder."""

from __future__ import annotations

import os
import signal
import time

import pytest
from reliability import worker
from reliability.children import Child, run_to_end
from reliability.small_run import Case, bits, train
from reliability.worker import Trouble

from sdlora.errors import BusyError
from sdlora.files import FolderLock, read_json, write_json


@pytest.mark.slow
def test_c1_eight_writers(place, server):
    write_json(place / "number.json", 0)
    pairs = [server.Pipe(duplex=False) for _ in range(8)]
    processes = [server.Process(target=worker.count_up, args=(place, 100, theirs)) for _, theirs in pairs]
    for process in processes:
        process.start()
    counts = [ours.recv() for ours, _ in pairs]
    for process in processes:
        process.join()
    assert read_json(place / "number.json") == sum(counts)
    assert sum(counts) >= 100
    assert sorted(path.name for path in place.iterdir()) == [".lock", "number.json"]


def test_c1_the_second_is_refused_within_a_second(place, server):
    child = Child(server, place / "run", Case(), Trouble(block_at_step=1))
    child.wait_for_message()
    begun = time.monotonic()
    with pytest.raises(BusyError, match=rf"in use by process {child.process.pid} on .* since 20") as caught:
        train(place / "run")
    assert time.monotonic() - begun < 1
    assert caught.value.exit_code == 4
    child.signal(signal.SIGKILL)
    child.end()
    train(place / "run")
    train(place / "unbroken")
    assert bits(place / "run") == bits(place / "unbroken")


def test_c1_one_may_wait(place, server):
    child = Child(server, place / "run", Case(), Trouble(block_at_step=1))
    child.wait_for_message()
    with pytest.raises(BusyError), FolderLock(place / "run", timeout=0.2):
        pass
    child.signal(signal.SIGKILL)
    with FolderLock(place / "run", timeout=30):
        pass
    child.end()


@pytest.mark.slow
def test_c2_the_lock_dies_with_its_holder(place, server):
    """Fifty holders are killed while two workers that they forked live on."""
    for _ in range(50):
        ours, theirs = server.Pipe(duplex=False)
        holder = server.Process(target=worker.hold, args=(place / "run", theirs))
        holder.start()
        assert ours.poll(30)
        workers = ours.recv()
        with pytest.raises(BusyError), FolderLock(place / "run"):
            pass
        os.kill(holder.pid, signal.SIGKILL)
        holder.join()
        begun = time.monotonic()
        with FolderLock(place / "run", timeout=1):
            assert time.monotonic() - begun < 1
        for pid in workers:
            os.kill(pid, 0)  # they are alive
            os.kill(pid, signal.SIGKILL)


def test_a_refused_run_leaves_the_other_alone(place, server):
    run_to_end(server, place / "run", Case())
    before = bits(place / "run")
    with FolderLock(place / "run"):
        assert train(place / "run").status == "finished", "a finished run needs no lock"
    assert bits(place / "run") == before
