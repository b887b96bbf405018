"""Being asked to stop: the first signal finishes the step, the second ends the process."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import Any

from torch import Tensor

from sdlora.task import Batches

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopError(Exception):
    """A signal asked to stop; raised where that loses nothing."""


class StopSignals:
    """While entered, remembers the first SIGINT or SIGTERM instead of dying of it.

    Outside the main thread, where Python allows no handlers, it hears nothing.

    Attributes:
        received: Number of the signal, or None.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._previous: dict[int, Any] = {}

    def __enter__(self) -> StopSignals:
        if threading.current_thread() is threading.main_thread():
            self._previous = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.received is not None:
            os._exit(128 + number)  # files are whole at every instant, so nothing needs to be put away
        self.received = number


class Watched:
    """Batches that call a function before each; so a long hook can be stopped too.

    Args:
        batches: What to iterate over.
        before_each: May raise.
    """

    def __init__(self, batches: Batches, before_each: Callable[[], None]) -> None:
        self.batches, self.before_each = batches, before_each

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self.batches:
            self.before_each()
            yield batch

    def __len__(self) -> int:
        return len(self.batches)
