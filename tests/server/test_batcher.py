"""The model thread on its own."""

import asyncio
import threading

import numpy as np
import pytest

from sdlora.server.batcher import Batcher, Room
from sdlora.server.limits import Limits
from sdlora.server.meters import Meters
from sdlora.server.problems import ProblemError
from sdlora.server.served import ServedModel

PIXELS = np.zeros((4, 4, 3), np.uint8)


def model(version, probabilities):
    return ServedModel(version, ("a", "b"), (1, 1), 4, 1.0, probabilities)


def halves(batch):
    return np.full((len(batch), 2), 0.5, np.float32)


def run(scenario, served, **limits):
    async def session():
        dead = asyncio.Event()
        batcher = Batcher(served, Limits(**limits), Meters(), dead.set)
        batcher.start()
        try:
            async with asyncio.timeout(30):
                await scenario(batcher, dead)
        finally:
            batcher.stop()

    asyncio.run(session())


def test_what_waits_together_is_answered_together_and_in_order():
    sizes = []

    def mean(batch):
        sizes.append(len(batch))
        level = batch.float().mean(dim=(1, 2, 3)).numpy() / 255
        return np.stack([level, 1 - level], axis=1).astype(np.float32)

    async def scenario(batcher, _):
        levels = list(range(50))
        answers = await asyncio.gather(*(batcher.submit(np.full((4, 4, 3), level, np.uint8)) for level in levels))
        np.testing.assert_allclose([answer.probabilities[0] * 255 for answer in answers], levels, atol=1e-4)
        assert max(sizes) == 8
        assert sum(sizes) == 50

    run(scenario, model("1", mean), max_batch=8, max_wait_ms=50)


def test_a_busy_model_takes_what_came_meanwhile_without_waiting_for_more():
    sizes, came = [], threading.Event()

    def busy(batch):
        sizes.append(len(batch))
        assert came.wait(30)
        return halves(batch)

    async def scenario(batcher, _):
        first = [batcher.submit(PIXELS) for _ in range(4)]
        while not sizes:
            await asyncio.sleep(0.01)
        later = [batcher.submit(PIXELS) for _ in range(3)]
        came.set()
        await asyncio.gather(*first, *later)  # waiting for a fourth would take an hour
        assert sizes == [4, 3]

    run(scenario, model("1", busy), max_batch=4, max_wait_ms=3_600_000)


def test_a_swap_takes_effect_between_two_batches():
    async def scenario(batcher, _):
        new = model("2", halves)

        def swap_meanwhile(batch):
            batcher.swap(new)
            return halves(batch)

        batcher.swap(model("1", swap_meanwhile))
        answers = await asyncio.gather(*(batcher.submit(PIXELS) for _ in range(4)))
        assert [answer.model.version for answer in answers] == ["1", "1", "2", "2"]

    run(scenario, model("0", halves), max_batch=2, max_wait_ms=1000)


def test_cancelled_pictures_are_not_computed():
    seen = []

    def counting(batch):
        seen.append(len(batch))
        return halves(batch)

    async def scenario(batcher, _):
        asked = [batcher.submit(PIXELS) for _ in range(3)]
        asked[0].cancel()
        asked[2].cancel()
        await asked[1]
        assert seen == [1]
        assert batcher.meters.dropped._value.get() == 2

    run(scenario, model("1", counting), max_batch=3, max_wait_ms=1000)


def test_a_failing_model_fails_its_batch_and_the_thread_lives(caplog):
    def broken(batch):
        raise RuntimeError("no memory")

    async def scenario(batcher, dead):
        with pytest.raises(RuntimeError, match="no memory"):
            await batcher.submit(PIXELS)
        batcher.swap(model("2", halves))
        assert (await batcher.submit(PIXELS)).model.version == "2"
        assert batcher.is_alive
        assert not dead.is_set()

    run(scenario, model("1", broken))
    assert "no memory" in caplog.text


def test_the_death_of_the_thread_is_told(caplog):
    def deadly(batch):
        raise SystemExit

    async def scenario(batcher, dead):
        batcher.submit(PIXELS)
        await dead.wait()
        while batcher.is_alive:
            await asyncio.sleep(0.01)

    run(scenario, model("1", deadly))
    assert "the model thread died" in caplog.text


def test_room_is_given_back():
    room = Room(3, Meters())
    with room.hold(2):
        with pytest.raises(ProblemError) as caught, room.hold(2):
            pass
        assert (caught.value.status, caught.value.retry_after) == (503, 1)
        with room.hold(1):
            pass
    assert room.waiting == 0
    with pytest.raises(ZeroDivisionError), room.hold(3):
        _ = 1 / 0
    assert room.waiting == 0
