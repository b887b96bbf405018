"""How the server and its decoding processes talk over pipes: frames of a fixed head and bytes.

kind (u8), side (u32), crop (f64), length (u32), `length` bytes
"""

from __future__ import annotations

import asyncio
import struct
from typing import BinaryIO, NamedTuple

HEAD = struct.Struct("<BIdI")

PICTURE, KEEP = 1, 2  # requests: what a model sees of a picture; a copy of it to keep
DONE, NOT_AN_IMAGE, TOO_MANY_PIXELS, DAMAGED = 0, 1, 2, 3  # answers


class Frame(NamedTuple):
    """A request, or the answer to it.

    Attributes:
        kind: One of the constants above.
        side: Of a ``PICTURE``, its side; of what to ``KEEP``, the longest its shorter side may be; pixels.
        crop: Of a ``PICTURE``, its side as a fraction of the image's shorter side.
        data: Bytes of a file; of an answer pixels, a file, or a reason.
    """

    kind: int
    data: bytes = b""
    side: int = 0
    crop: float = 0.0


def pack(frame: Frame) -> bytes:
    """Return the bytes of a frame."""
    return HEAD.pack(frame.kind, frame.side, frame.crop, len(frame.data)) + frame.data


def read_frame(stream: BinaryIO) -> Frame | None:
    """Read a frame, waiting for it; None at the end of the stream."""
    head = stream.read(HEAD.size)
    if len(head) < HEAD.size:
        return None
    kind, side, crop, length = HEAD.unpack(head)
    data = stream.read(length)
    return Frame(kind, data, side, crop) if len(data) == length else None


async def receive_frame(stream: asyncio.StreamReader) -> Frame:
    """Read a frame without blocking the loop.

    Raises:
        asyncio.IncompleteReadError: If the stream ends.
    """
    kind, side, crop, length = HEAD.unpack(await stream.readexactly(HEAD.size))
    return Frame(kind, await stream.readexactly(length), side, crop)
