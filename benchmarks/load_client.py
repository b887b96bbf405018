"""Clients that cost little: one process, raw connections that are kept, requests made beforehand."""

from __future__ import annotations

import asyncio
import io
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from PIL import Image

END_OF_HEAD = b"\r\n\r\n"
LENGTH = b"content-length: "
SETTLE_SECONDS = 60.0  # longest for answers that are owed when the time is over


@dataclass
class Outcome:
    """What became of all requests.

    Attributes:
        statuses: How many answers had which status; 0 for a connection that broke.
        times: How long each answer took, seconds.
        duration: From the first request to the last answer, seconds.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    times: list[float] = field(default_factory=list)
    duration: float = 0.0


class Client(asyncio.Protocol):
    """Asks again and again over one connection.

    Args:
        requests: What to ask, in turn.
        number: Which to begin with.
        end: Monotonic time of the last request, seconds.
        outcome: Where answers are counted.
    """

    def __init__(self, requests: list[bytes], number: int, end: float, outcome: Outcome) -> None:
        self.requests, self.number, self.end, self.outcome = requests, number, end, outcome
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._answer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._answer += data
        head, found, body = self._answer.partition(END_OF_HEAD)
        if found and len(body) >= int(head.partition(LENGTH)[2].partition(b"\r\n")[0]):
            self.outcome.statuses[int(head[9:12])] += 1
            self.outcome.times.append(time.monotonic() - self._asked)
            self._answer = b""
            self._ask()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._is_done:
            self.outcome.statuses[0] += 1
        if not self.ended.done():
            self.ended.set_result(None)

    def _ask(self) -> None:
        self._asked = time.monotonic()
        self._is_done = self._asked >= self.end
        if self._is_done:
            self._transport.close()
            return
        self._transport.write(self.requests[self.number % len(self.requests)])
        self.number += 1


async def load(port: int, requests: list[bytes], num_clients: int, seconds: float) -> Outcome:
    """Let clients on this machine ask for some time.

    Args:
        port: Of the server.
        requests: What to ask.
        num_clients: Connections.
        seconds: For how long to ask.
    """
    outcome, start = Outcome(), time.monotonic()

    async def run(number: int) -> None:
        while time.monotonic() < start + seconds:  # again, should the connection break
            make = partial(Client, requests, number, start + seconds, outcome)
            _, client = await asyncio.get_running_loop().create_connection(make, "127.0.0.1", port)
            await client.ended

    async with asyncio.timeout(seconds + SETTLE_SECONDS):
        await asyncio.gather(*map(run, range(num_clients)))
    outcome.duration = time.monotonic() - start
    return outcome


def make_request(seed: int, num_images: int, side: int) -> bytes:
    """Return a request for predictions of pictures like small photographs, JPEG.

    Args:
        seed: Decides what they show.
        num_images: How many; several come as a form.
        side: Of a picture, pixels.
    """
    pictures = [_picture(seed, number, side) for number in range(num_images)]
    if num_images == 1:
        body, kind = pictures[0], "image/jpeg"
    else:
        head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        body = b"".join(head + picture + b"\r\n" for picture in pictures) + b"--x--\r\n"
        kind = "multipart/form-data; boundary=x"
    return (
        f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


def _picture(seed: int, number: int, side: int) -> bytes:
    coarse = np.random.default_rng((seed, number)).integers(0, 256, (24, 24, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(coarse).resize((side, side), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()
