"""The outermost layer: what is refused before the framework sees it, and what every answer carries.

Plain ASGI. Nothing of a body is read for a request whose head is refused; a body is counted while it streams, whatever
its ``Content-Length`` says, and has to arrive in time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sdlora.datasets.images import printable
from sdlora.server.guard import Guard
from sdlora.server.limits import Limits
from sdlora.server.problems import ProblemError, too_large

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = (
    (b"content-security-policy", POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
PICTURES = ("/v1/predict", "/images")  # how paths end whose bodies hold pictures

OnAnswer = Callable[[str, str, int, float], None]
"""Told method, path, status and seconds of each request."""


class Admission:
    """Wraps the application.

    Args:
        app: Serves what is admitted.
        guard: Says who may ask for what.
        limits: Sizes and times.
        version: Returns the version of the model in use.
        on_answer: Hears of every answer.
    """

    def __init__(
        self, app: ASGIApp, *, guard: Guard, limits: Limits, version: Callable[[], str], on_answer: OnAnswer
    ) -> None:
        self.app, self.guard, self.limits = app, guard, limits
        self.version, self.on_answer = version, on_answer
        self.in_flight = 0  # bytes of bodies received for requests that are not answered

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(send, self.version)
        body = _Body(self, receive, scope["path"])
        started = time.monotonic()
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
            self.guard.check(scope["method"], scope["path"], headers)
            body.expect(headers.get("content-length"))
            await self.app(scope, body.receive, answer.send)
        except ProblemError as problem:
            await answer.refuse(problem)
        except Exception:
            if answer.status is None:
                raise
            # The framework has answered 500 and logged it with the id that stands in the answer.
        finally:
            self.in_flight -= body.received
            seconds = time.monotonic() - started
            self.on_answer(scope["method"], printable(scope["path"]), answer.status or 499, seconds)


class _Body:
    """Counts a body as it comes in."""

    def __init__(self, admission: Admission, receive: Receive, path: str) -> None:
        self.admission, self._receive = admission, receive
        limits = admission.limits
        self.limit = limits.request_bytes if path.endswith(PICTURES) else limits.json_bytes
        self.received = 0
        self._deadline: float | None = None
        self._is_complete = False

    def expect(self, length: str | None) -> None:
        """Refuse by ``Content-Length``, before anything is read."""
        if length is None:
            return
        if not length.isascii() or not length.isdigit():
            raise ProblemError(400, "malformed", f"Content-Length is {length[:30]!r}, not a number.")
        self._check(int(length))

    async def receive(self) -> Message:
        if self._is_complete:  # what comes now is the news that the client left; nobody needs to hurry with that
            return await self._receive()
        loop = asyncio.get_running_loop()
        self._deadline = self._deadline or loop.time() + self.admission.limits.body_seconds
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            seconds = self.admission.limits.body_seconds
            raise ProblemError(408, "slow", f"The request was not complete after {seconds:.0f} s.") from None
        size = len(message.get("body", b""))
        self._is_complete = not message.get("more_body", False)
        self.received += size
        self.admission.in_flight += size
        self._check(self.received)
        return message

    def _check(self, size: int) -> None:
        if size > self.limit:
            raise too_large(size, self.limit)
        if self.admission.in_flight - self.received + size > self.admission.limits.in_flight_bytes:
            raise ProblemError(503, "busy", "Too much is being uploaded at once.", fix="Try again.", retry_after=1)


class _Answer:
    """Adds to the head of an answer what every answer carries."""

    def __init__(self, send: Send, version: Callable[[], str]) -> None:
        self._send, self._version = send, version
        self.status: int | None = None

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            names = {name for name, _ in message.get("headers", ())}
            ours: list[tuple[bytes, bytes]] = [header for header in HEADERS if header[0] not in names]
            if b"x-model-version" not in names:
                ours.append((b"x-model-version", self._version().encode()))
            if b"cache-control" not in names:
                ours.append((b"cache-control", b"no-store"))
            message = {**message, "headers": [*message.get("headers", ()), *ours]}
        await self._send(message)

    async def refuse(self, problem: ProblemError) -> None:
        """Send a problem, unless an answer has begun."""
        if self.status is not None:
            return
        body = problem.body()
        headers: list[Any] = [(name.lower().encode(), value.encode()) for name, value in problem.headers().items()]
        headers.append((b"content-length", str(len(body)).encode()))
        await self.send({"type": "http.response.start", "status": problem.status, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
