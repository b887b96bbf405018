"""A few processes that decode; one that dies or takes too long is replaced, and costs the picture it held alone."""

from __future__ import annotations

import asyncio
import logging
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdlora.datasets.heic import is_heic
from sdlora.server.beside import start_process
from sdlora.server.frames import DONE, KEEP, NOT_AN_IMAGE, PICTURE, TOO_MANY_PIXELS, Frame, pack, receive_frame
from sdlora.server.limits import Limits
from sdlora.server.problems import ProblemError, too_large

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-P", "-m", "sdlora.server.decode_worker")
START_SECONDS = 60.0
PAUSE_SECONDS = 1.0  # between two attempts to start a process that dies at once
USES = "Use JPEG, PNG or WebP."


class Decoders:
    """The processes.

    Args:
        count: How many.
        limits: What a picture may cost.

    Attributes:
        num_alive: Processes that can take a picture.
        pids: Their process ids.
    """

    def __init__(self, count: int, limits: Limits) -> None:
        self.count, self.limits = count, limits
        self.pids: set[int] = set()
        self._idle: asyncio.Queue[Process] = asyncio.Queue()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    @property
    def num_alive(self) -> int:
        return len(self.pids)

    async def start(self) -> None:
        """Start them all and wait until they are ready."""
        await asyncio.gather(*(self._add() for _ in range(self.count)))

    async def stop(self) -> None:
        """End them all."""
        self._is_closed = True
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        while not self._idle.empty():
            await self._end(self._idle.get_nowait())

    async def picture(self, data: bytes, side: int, crop: float) -> NDArray[np.uint8]:
        """Return what a model sees of a picture.

        Args:
            data: Bytes of a file.
            side: Side of the model's pictures, pixels.
            crop: That side as a fraction of the picture's shorter side.

        Returns:
            (side, side, 3).

        Raises:
            ProblemError: If it is no picture, damaged, or costs too much.
        """
        return np.frombuffer(await self._ask(Frame(PICTURE, data, side, crop)), np.uint8).reshape(side, side, 3)

    async def copy(self, data: bytes, side: int) -> bytes:
        """Return a copy to keep, as PNG: upright, without anything but the pixels, shorter side at most `side`.

        Raises:
            ProblemError: If it is no picture, damaged, or costs too much.
        """
        return await self._ask(Frame(KEEP, data, side))

    async def _ask(self, frame: Frame) -> bytes:
        check_size(frame, self.limits)
        process = await self._idle.get()
        # Whoever asked may leave; the process still has to be emptied, so its turn goes on without them.
        answer: Frame = await asyncio.shield(self._spawn(self._turn(process, pack(frame))))
        return unpack(frame, answer)

    async def _turn(self, process: Process, frame: bytes) -> Frame:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            async with asyncio.timeout(self.limits.decode_seconds):
                process.stdin.write(frame)
                await process.stdin.drain()
                answer = await receive_frame(process.stdout)
        except (TimeoutError, OSError, asyncio.IncompleteReadError) as error:
            is_slow = isinstance(error, TimeoutError)
            self._spawn(self._replace(process))
            what = f"took longer than {self.limits.decode_seconds:.0f} s" if is_slow else "could not be decoded"
            raise ProblemError(422, "undecodable", f"The picture {what}.", fix=USES) from error
        except asyncio.CancelledError:
            await self._end(process)
            raise
        self._idle.put_nowait(process)
        return answer

    async def _replace(self, process: Process) -> None:
        await self._end(process)
        log.info("a decoding process was lost and is replaced")
        is_replaced = False
        while not (is_replaced or self._is_closed):
            try:
                await self._add()
                is_replaced = True
            except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
                log.error("no decoding process starts: %s", error)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _add(self) -> None:
        process = await start_process(COMMAND, limit=2**20, stderr=DEVNULL)
        assert process.stdout is not None
        try:
            async with asyncio.timeout(START_SECONDS):
                await receive_frame(process.stdout)
        except BaseException:
            await self._end(process)
            raise
        self.pids.add(process.pid)
        self._spawn(self._watch(process))
        self._idle.put_nowait(process)

    async def _watch(self, process: Process) -> None:
        """Notice a death at once, not with the next picture."""
        await process.wait()
        self.pids.discard(process.pid)

    async def _end(self, process: Process) -> None:
        self.pids.discard(process.pid)
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def check_size(frame: Frame, limits: Limits) -> None:
    """Refuse a file before it is sent to a process.

    Raises:
        ProblemError: 413 if it has too many bytes.
    """
    if len(frame.data) > limits.image_bytes:
        raise too_large(len(frame.data), limits.image_bytes)


def unpack(request: Frame, answer: Frame) -> bytes:
    """Return what a process made of a file.

    Raises:
        ProblemError: 415 if it was no picture, 422 if it was damaged or has too many pixels.
    """
    if answer.kind == DONE:
        return answer.data
    if answer.kind == NOT_AN_IMAGE:
        raise ProblemError(415, "not_an_image", f"This is not a picture we can read{_format(request.data)}.", fix=USES)
    reason = answer.data.decode()
    what = f"{reason[:1].upper()}{reason[1:]}."
    if answer.kind == TOO_MANY_PIXELS:
        raise ProblemError(422, "too_many_pixels", what, fix="Make it smaller.")
    raise ProblemError(422, "undecodable", what, fix=USES)


def _format(data: bytes) -> str:
    """Name the format of a file that is a picture to others."""
    return " (HEIC)" if is_heic(data) else ""
