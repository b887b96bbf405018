"""From pictures to probabilities: one thread holds the model and takes what waits, a batch at a time."""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from sdlora.server.limits import Limits
from sdlora.server.meters import Meters
from sdlora.server.problems import ProblemError
from sdlora.server.served import ServedModel

log = logging.getLogger(__name__)


class Answer(NamedTuple):
    """What a model said of one picture.

    Attributes:
        probabilities: (num_seen,).
        model: Which model; its classes name the columns.
    """

    probabilities: NDArray[np.float32]
    model: ServedModel


class _Ticket(NamedTuple):
    pixels: NDArray[np.uint8]  # (H, W, 3)
    future: asyncio.Future[Answer]


class Room:
    """Counts the pictures that were admitted and not answered yet.

    Args:
        size: How many there may be.
        meters: Where the count is shown.
    """

    def __init__(self, size: int, meters: Meters) -> None:
        self.size, self.meters = size, meters
        self.waiting = 0
        self._seconds = 0.0  # how long a request stays, smoothed over the last few

    @contextmanager
    def hold(self, count: int) -> Iterator[None]:
        """Admit pictures for the time of the block.

        Raises:
            ProblemError: 503 if there is no room for them.
        """
        self.check(count)
        self.waiting += count
        self.meters.waiting.set(self.waiting)
        started = time.monotonic()
        try:
            yield
        finally:
            self._seconds += 0.1 * (time.monotonic() - started - self._seconds)
            self.waiting -= count
            self.meters.waiting.set(self.waiting)

    def check(self, count: int = 1) -> None:
        """Refuse pictures for which there is no room, before anything is spent on them.

        Raises:
            ProblemError: 503 with the time after which there should be room.
        """
        if self.waiting + count > self.size:
            raise ProblemError(
                503,
                "queue_full",
                f"{self.waiting} pictures wait; at most {self.size} may.",
                fix="Try again.",
                retry_after=max(1, math.ceil(self._seconds)),
            )


class Batcher:
    """The model thread and what waits for it.

    Args:
        model: What answers first.
        limits: Size of a batch and how long an idle model waits for it to fill.
        meters: Where batches are counted.
        on_death: Called when the thread ends by an error that is not the model's.
    """

    def __init__(self, model: ServedModel, limits: Limits, meters: Meters, on_death: Callable[[], None]) -> None:
        self.limits, self.meters, self.on_death = limits, meters, on_death
        self._model = model
        self._waiting: deque[_Ticket] = deque()
        self._changed = threading.Condition()
        self._underway: list[_Ticket] = []
        self._is_closed = False
        self._thread = threading.Thread(target=self._run, name="model", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Start the thread; answers go to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """End the thread after its batch."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()

    def swap(self, model: ServedModel) -> None:
        """Let another model answer from the next batch on."""
        self._model = model

    def submit(self, pixels: NDArray[np.uint8]) -> asyncio.Future[Answer]:
        """Queue one picture (H, W, 3); cancelling the future takes it out again."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        with self._changed:
            self._waiting.append(_Ticket(pixels, future))
            self._changed.notify()
        return future

    def _run(self) -> None:
        try:
            while (tickets := self._take()) is not None:
                self._underway = tickets
                if tickets:
                    self._answer(tickets, self._model)  # read once: no batch mixes two models
        except BaseException:
            log.critical("the model thread died", exc_info=True)
            self._tell(_fail, [*self._underway, *self._waiting], RuntimeError("the model thread died"))
            self._tell(self.on_death)

    def _take(self) -> list[_Ticket] | None:
        """Wait for pictures and return a batch of those that still matter; None when closed."""
        with self._changed:
            was_idle = not self._waiting
            self._changed.wait_for(lambda: self._waiting or self._is_closed)
            if self._is_closed:
                return None
            if was_idle and len(self._waiting) < self.limits.max_batch:  # a busy model has let a batch gather already
                full = lambda: len(self._waiting) >= self.limits.max_batch or self._is_closed  # noqa: E731
                self._changed.wait_for(full, self.limits.max_wait_ms / 1000)
            tickets: list[_Ticket] = []
            while self._waiting and len(tickets) < self.limits.max_batch:
                ticket = self._waiting.popleft()
                if ticket.future.cancelled():  # its client left, or waited too long
                    self.meters.dropped.inc()
                else:
                    tickets.append(ticket)
            return tickets

    def _answer(self, tickets: Sequence[_Ticket], model: ServedModel) -> None:
        started = time.monotonic()
        try:
            rows = model.probabilities(torch.from_numpy(np.stack([ticket.pixels for ticket in tickets])))
        except Exception as error:
            log.error("a batch of %d pictures failed", len(tickets), exc_info=True)
            self._tell(_fail, tickets, error)
            return
        self.meters.batches.observe(len(tickets))
        self.meters.forward.observe(time.monotonic() - started)
        self._tell(_deliver, tickets, [Answer(row, model) for row in rows])

    def _tell(self, call: Callable[..., None], *arguments: object) -> None:
        assert self._loop is not None
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call, *arguments)


def _deliver(tickets: Sequence[_Ticket], answers: Sequence[Answer]) -> None:
    for ticket, answer in zip(tickets, answers, strict=True):
        if not ticket.future.done():
            ticket.future.set_result(answer)


def _fail(tickets: Sequence[_Ticket], error: Exception) -> None:
    for ticket in tickets:
        if not ticket.future.done():
            ticket.future.set_exception(error)
