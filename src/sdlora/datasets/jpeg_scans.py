"""How often a JPEG paints its picture: a progressive one may do so 100,000 times within the limit of bytes."""

from __future__ import annotations

import re

MAX_SCANS = 64  # what encoders write: up to about a dozen

_MARKER = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")  # after compressed data; 00 and restarts belong to the data
_START_OF_SCAN, _END = 0xDA, 0xD9


def has_too_many_scans(data: bytes) -> bool:
    """Whether the first picture of a JPEG has more than `MAX_SCANS` scans; each costs the decoder one pass over it."""
    position, scans = 2, 0  # behind the marker of the file's start
    while scans <= MAX_SCANS and (marker := _MARKER.search(data, position)):
        kind = data[marker.end() - 1]
        if kind == _END:
            return False
        position = marker.end() + int.from_bytes(data[marker.end() : marker.end() + 2], "big")  # over its segment
        scans += kind == _START_OF_SCAN
    return scans > MAX_SCANS
