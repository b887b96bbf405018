"""Run the application under uvicorn until it is asked to stop."""

from __future__ import annotations

import asyncio
import errno
import gc
import logging
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn

from sdlora.errors import BusyError, ConfigError
from sdlora.server.admission import OnAnswer
from sdlora.server.app import make_app
from sdlora.server.protocol import guarded_protocol
from sdlora.server.service import Service

STOP_SECONDS = 8  # for the requests in hand
KEEP_ALIVE_SECONDS = 5
BACKLOG = 512
SWITCH_SECONDS = 0.00002  # the model's thread asks for the interpreter after every operation; it must not wait long

for name in ("uvicorn", "python_multipart"):  # what matters of their words is said by our own answers
    logging.getLogger(name).setLevel(logging.CRITICAL)


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; port 0 for any free one.

    Raises:
        BusyError: If the port is taken.
        ConfigError: If there is no such address here.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
        return listener
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise BusyError(f"port {port} is taken", fix=f"--port {port + 1 if port < 65535 else 0}") from error
        raise ConfigError(f"cannot listen at {host} port {port}: {error.strerror or error}") from error


class Runner(uvicorn.Server):
    """One server; it ends by a signal, or by itself when its model thread dies.

    Args:
        service: What it serves.
        listener: Where it listens.
        on_answer: Hears of every answer.

    Attributes:
        is_broken: Whether it ended because the model thread died.
    """

    def __init__(self, service: Service, listener: socket.socket, on_answer: OnAnswer = lambda *_: None) -> None:
        super().__init__(
            uvicorn.Config(
                make_app(service, on_answer),
                http=guarded_protocol(service.limits),
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=service.limits.connections,
                timeout_keep_alive=KEEP_ALIVE_SECONDS,
                timeout_graceful_shutdown=STOP_SECONDS,
            )
        )
        self.service, self.listener = service, listener
        self.is_broken = False
        service.on_death = self._break

    def serve_until_stopped(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve; `on_ready` is called once requests are answered.

        The first SIGINT or SIGTERM lets the requests in hand end, for `STOP_SECONDS`; the second cuts them off.
        """
        self.service.on_swap = _set_aside
        with self._signals(), _tuned_interpreter():
            asyncio.run(self._serve_and_tell(on_ready))

    def stop(self) -> None:
        """Ask to stop; the second time at once."""
        self.force_exit = self.should_exit
        self.service.is_stopping = self.should_exit = True

    async def _serve_and_tell(self, on_ready: Callable[[], None]) -> None:
        serving = asyncio.create_task(self._serve([self.listener]))
        while not self.started and not serving.done():
            await asyncio.sleep(0.01)
        if self.started:
            on_ready()
        await serving

    async def _wait_tasks_to_complete(self) -> None:
        """Wait for the requests in hand; cut off whoever is left when that takes too long, or was asked for.

        A request that is cancelled while its client is connected would be answered 500.
        """
        try:
            while (self.server_state.connections or self.server_state.tasks) and not self.force_exit:
                await asyncio.sleep(0.05)
        finally:
            for connection in list(self.server_state.connections):
                connection.transport.abort()

    def _break(self) -> None:
        self.is_broken = True
        self.stop()

    @contextmanager
    def _signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, lambda *_: self.stop()) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextmanager
def _tuned_interpreter() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    _set_aside()
    try:
        yield
    finally:
        sys.setswitchinterval(before)
        gc.unfreeze()


def _set_aside() -> None:
    """Collect garbage, then spare everything alive, the model and its library, all later collections.

    Each of those would walk half a million objects while requests wait.
    """
    gc.unfreeze()  # a model that was replaced goes with this collection
    gc.collect()
    gc.freeze()
