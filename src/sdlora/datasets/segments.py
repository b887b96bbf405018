"""The segments a file is made of: 20 MB of tiny ones, or of one that is packed a thousandfold, take a decoder minutes.

Seen before anything is decoded, by walking from one segment to the next without looking into them.
"""

from __future__ import annotations

import re

MAX_SEGMENTS = 1000  # beside the picture's own data; what cameras and editors write: some dozens
MAX_SCANS = 64  # of a JPEG; what encoders write: up to about a dozen
MAX_FILL = 100_000  # bytes between the segments of a JPEG
MAX_CHUNKS = 100_000  # with data of a PNG; usual are some thousands of 8 kB
MAX_BLOCKS = 20_000  # before the first picture of a GIF, each of at most 255 bytes
MAX_RUN_BYTES = 5_000_000  # of a BMP in run lengths, which Pillow unpacks in Python
MAX_RUN_PIXELS = 10_000_000
PROFILE = b"iCCP"

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # after compressed data; 00 and restarts belong to the data
_START_OF_SCAN, _END = 0xDA, 0xD9


def excess(data: bytes) -> str | None:
    """Say in what an image file goes beyond all that encoders write, or return None if it does not.

    Example:
        >>> excess(b"GIF89a")
        >>> excess(b"GIF89a" + bytes(30_000))
        'is made of more than 20,000 segments'
    """
    if data.startswith(b"\xff\xd8"):
        return _of_jpeg(data)
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _of_png(data)
    if data.startswith((b"GIF87a", b"GIF89a")):
        return _of_gif(data)
    if data.startswith(b"BM"):
        return _of_bmp(data)
    return None


def _of_jpeg(data: bytes) -> str | None:
    """Look at the first picture; a film may follow it."""
    position, segments, scans = 2, 0, 0  # behind the marker of the file's start
    while marker := _MARKER.search(data, position, len(data) if scans else position + MAX_FILL):
        kind = data[marker.end() - 1]
        if kind == _END:
            return None
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")  # over its segment
        segments, scans = segments + 1, scans + (kind == _START_OF_SCAN)
        if scans > MAX_SCANS:
            return f"paints its picture more than {MAX_SCANS} times"
        if segments > MAX_SEGMENTS:
            return _too_many(MAX_SEGMENTS)
    is_filled = not scans and len(data) > position + MAX_FILL
    return f"has more than {MAX_FILL:,} bytes between its segments" if is_filled else None


def _of_png(data: bytes) -> str | None:
    position, chunks, others, profiles = 8, 0, 0, 0
    while position + 8 <= len(data):
        name = data[position + 4 : position + 8]
        position += 12 + int.from_bytes(data[position : position + 4], "big")
        if name in (b"IDAT", b"fdAT"):
            chunks += 1
        elif name == b"IEND":
            break
        else:
            others, profiles = others + 1, profiles + (name == PROFILE)
        if chunks > MAX_CHUNKS or others > MAX_SEGMENTS:
            return _too_many(MAX_CHUNKS if chunks > MAX_CHUNKS else MAX_SEGMENTS)
        if profiles > 1:  # each is unpacked, to a megabyte
            return "has more than one colour profile"
    return None


def _of_gif(data: bytes) -> str | None:
    """Look at what comes before the first picture: extensions, in blocks that each begin with their length."""
    palette = 3 << ((data[10] & 7) + 1) if len(data) > 10 and data[10] & 128 else 0
    position, blocks, is_inside = 13 + palette, 0, False
    while position < len(data) and blocks <= MAX_BLOCKS:
        first = data[position]
        if is_inside:
            position, is_inside = position + 1 + first, first > 0
        elif first in b",;":
            return None
        else:  # anything but an extension is skipped by decoders, byte by byte
            is_inside = first == ord("!")
            position += 2 if is_inside else 1
        blocks += 1
    return _too_many(MAX_BLOCKS) if blocks > MAX_BLOCKS else None


def _of_bmp(data: bytes) -> str | None:
    header, width, height = (int.from_bytes(data[place : place + 4], "little", signed=True) for place in (14, 18, 22))
    has_runs = header >= 40 and int.from_bytes(data[30:34], "little") in (1, 2)
    if has_runs and (len(data) > MAX_RUN_BYTES or abs(width * height) > MAX_RUN_PIXELS):
        return f"is a BMP of run lengths beyond {MAX_RUN_BYTES:,} bytes or {MAX_RUN_PIXELS:,} pixels"
    return None


def _too_many(limit: int) -> str:
    return f"is made of more than {limit:,} segments"
