"""uvicorn's HTTP protocol with the deadlines it lacks: for the head of a request, and for taking the answer.

The deadline of the body is `admission`'s; a connection without a request is closed by uvicorn's own keep-alive timer.
"""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from sdlora.server.limits import Limits


class GuardedProtocol(H11Protocol):
    """One connection.

    Attributes:
        limits: What its client may cost; set by `guarded_protocol`.
    """

    limits = Limits()
    _owed: asyncio.TimerHandle | None = None  # the client owes the rest of a head, or of a refused body
    _untaken: asyncio.TimerHandle | None = None  # the client does not take what it was sent

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._owed = self.loop.call_later(self.limits.head_seconds, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._settle()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._untaken = self.loop.call_later(self.limits.drain_seconds, self._give_up)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._untaken is not None:
            self._untaken.cancel()
            self._untaken = None

    def _watch(self) -> None:
        is_serving = self.cycle is not None and not self.cycle.response_complete
        is_between = self.conn.their_state is h11.IDLE and not self.conn.trailing_data[0]
        if is_serving or is_between or self.transport.is_closing():
            self._settle()
        elif self._owed is None:  # bytes that trickle in do not start it again
            self._owed = self.loop.call_later(self.limits.head_seconds, self._give_up)

    def _settle(self) -> None:
        if self._owed is not None:
            self._owed.cancel()
            self._owed = None

    def _give_up(self) -> None:
        self.transport.abort()


def guarded_protocol(limits: Limits) -> type[H11Protocol]:
    """Return the protocol class for uvicorn, which makes its objects itself."""
    return type("LimitedProtocol", (GuardedProtocol,), {"limits": limits})
