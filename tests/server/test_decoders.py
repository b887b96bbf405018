"""Decoding processes: real ones die and hang here."""

import asyncio
import os
import signal
import sys

import pytest
from server.fakes import png

from sdlora.server import decoders
from sdlora.server.decoders import Decoders
from sdlora.server.limits import Limits
from sdlora.server.problems import ProblemError

SCRIPT = """
import os, sys, time
from sdlora.server.frames import DONE, Frame, pack, read_frame
out = sys.stdout.buffer
out.write(pack(Frame(DONE))); out.flush()
while (frame := read_frame(sys.stdin.buffer)) is not None:
    if frame.data == b"hang": time.sleep(600)
    if frame.data == b"die": os._exit(139)
    out.write(pack(Frame(DONE, bytes(frame.side * frame.side * 3)))); out.flush()
"""


def run(monkeypatch, scenario, count=2, **limits):
    """Run a scenario with quick processes that hang or die when told so."""
    monkeypatch.setattr(decoders, "COMMAND", (sys.executable, "-c", SCRIPT))

    async def session():
        made = Decoders(count, Limits(**limits))
        await made.start()
        try:
            async with asyncio.timeout(60):
                await scenario(made)
        finally:
            await made.stop()
        assert made.num_alive == 0

    asyncio.run(session())


async def until(condition):
    while not condition():
        await asyncio.sleep(0.01)


def test_a_process_that_dies_costs_one_picture_and_is_replaced(monkeypatch):
    async def scenario(made):
        before = set(made.pids)
        with pytest.raises(ProblemError, match="could not be decoded") as caught:
            await made.picture(b"die", 4, 1.0)
        assert caught.value.status == 422
        assert (await made.picture(b"fine", 4, 1.0)).shape == (4, 4, 3)
        await until(lambda: made.num_alive == 2)
        assert len(before & made.pids) == 1

    run(monkeypatch, scenario)


def test_a_process_that_hangs_is_ended(monkeypatch):
    async def scenario(made):
        with pytest.raises(ProblemError, match="took longer than"):
            await made.picture(b"hang", 4, 1.0)
        await until(lambda: made.num_alive == 1)
        assert (await made.picture(b"fine", 4, 1.0)).shape == (4, 4, 3)

    run(monkeypatch, scenario, count=1, decode_seconds=0.5)


def test_a_kill_from_outside_is_noticed_and_mended(monkeypatch):
    async def scenario(made):
        for pid in list(made.pids):
            os.kill(pid, signal.SIGKILL)
        await until(lambda: made.num_alive == 0)  # this is what makes the server not ready
        for _ in range(2):
            with pytest.raises(ProblemError):
                await made.picture(b"fine", 4, 1.0)
        assert (await made.picture(b"fine", 4, 1.0)).shape == (4, 4, 3)

    run(monkeypatch, scenario)


def test_leaving_costs_no_process(monkeypatch):
    async def scenario(made):
        before = set(made.pids)
        asked = [asyncio.create_task(made.picture(b"fine", 64, 1.0)) for _ in range(50)]
        await asyncio.sleep(0)
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        assert (await made.picture(b"fine", 4, 1.0)).shape == (4, 4, 3)
        assert made.pids == before

    run(monkeypatch, scenario)


def test_too_many_bytes_reach_no_process(monkeypatch):
    async def scenario(made):
        with pytest.raises(ProblemError, match="over the limit") as caught:
            await made.picture(b"die" * 100, 4, 1.0)
        assert caught.value.status == 413

    run(monkeypatch, scenario, count=1, image_bytes=200)


def test_the_real_process_decodes_and_bounds_its_memory(site):
    for pid in site.service.decoders.pids:
        with open(f"/proc/{pid}/limits") as limits:
            (line,) = [line for line in limits if line.startswith("Max address space")]
        assert "unlimited" not in line
    assert site.predict(png()).status == 200
