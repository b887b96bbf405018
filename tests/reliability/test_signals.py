"""R6: the first signal stores and ends the run, the second ends it at once."""

from __future__ import annotations

import random
import time
from signal import SIGINT, SIGTERM

import pytest
from reliability.children import Child, run_to_end
from reliability.small_run import Case, bits, manifest
from reliability.worker import Trouble

CASE = Case(epochs=6, checkpoint_seconds=1e9)
CODES = {SIGINT: 130, SIGTERM: 143}


@pytest.fixture(scope="module")
def unbroken(module_place, server):
    child = Child(server, module_place / "run", CASE)
    child.wait_for_message()
    begun = time.monotonic()
    assert child.end() == 0
    return bits(module_place / "run"), time.monotonic() - begun


@pytest.mark.slow
def test_r6_a_signal_at_any_moment(unbroken, place, server):
    delays = random.Random(4)
    stopped = 0
    for trial in range(20):
        number = (SIGTERM, SIGINT)[trial % 2]
        folder = place / f"run{trial}"
        child = Child(server, folder, CASE)
        child.wait_for_message()
        time.sleep(delays.uniform(0, 0.8 * unbroken[1]))
        sent = time.monotonic()
        child.signal(number)
        code = child.end()
        assert time.monotonic() - sent < 10
        assert code in (CODES[number], 0)
        if code:
            stopped += 1
            assert manifest(folder)["status"] == "stopped"
            assert manifest(folder)["finished"] is None
        run_to_end(server, folder, CASE)
        assert bits(folder) == unbroken[0], trial
        assert manifest(folder)["status"] == "finished"
    assert stopped >= 12


def test_r6_no_step_is_lost(place, server):
    """With checkpoints switched off but for signals, every session still begins where the last one ended."""
    steps = []
    for _ in range(3):
        assert Child(server, place / "run", CASE, Trouble(stop_at_step=2)).end() == 143
        steps.append(bits(place / "run")["progress"])
    done = [6 * 3 * at["task"] + 3 * at["epoch"] + at["step"] for at in steps]
    assert done == [2, 4, 6]


@pytest.mark.parametrize("number", [SIGTERM, SIGINT])
def test_r6_the_second_signal_ends_it_at_once(place, server, number):
    child = Child(server, place / "run", CASE, Trouble(block_at_step=2))
    child.wait_for_message()
    assert child.wait_for_message() == "blocked"
    child.signal(number)
    time.sleep(0.2)
    sent = time.monotonic()
    child.signal(number)
    assert child.end() == CODES[number]
    assert time.monotonic() - sent < 5
    assert bits(place / "run")["progress"]["step"] == 0, "nothing was stored after the first signal"
    run_to_end(server, place / "run", CASE)
