"""From the bytes of a weights file to tensors: every limit is checked before anything is allocated.

safetensors itself takes a header of a million empty tensors (14 seconds, 2 GB), repeated names and NaN.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from sdlora.files import parse_tensors

MAX_HEADER = 4_000_000  # bytes
MAX_TENSORS = 20_000
MAX_DIMENSIONS = 8
MAX_SIDE = 2**31
LARGEST = 1e12  # statistics of a method reach a million; what lies beyond comes from damage or malice
NAME = re.compile(r"[A-Za-z0-9_.]{1,200}")  # what a parameter may be called
CODES = {torch.float32: "F32", torch.int64: "I64", torch.bool: "BOOL"}  # of what a backbone is made of
SIZES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def read_weights(data: bytes, layout: Mapping[str, Tensor] | None = None) -> dict[str, Tensor]:
    """Return the tensors of a weights file.

    Args:
        data: The file.
        layout: Tensors without numbers, whose names, types and shapes it must have; any if absent.

    Raises:
        ValueError: If the file is damaged, larger than its header says, has another layout, or holds a number that no
            training leaves behind; the message says which tensor.
    """
    header = check_header(data)
    if layout is not None:
        check_layout(header, layout)
    tensors = parse_tensors(data)
    for name, tensor in tensors.items():
        if tensor.dtype.is_floating_point and tensor.numel():
            largest = float(tensor.abs().max())
            if not largest <= LARGEST:  # NaN is refused too
                raise ValueError(f"tensor {name} holds the value {largest:g}")
    return tensors


def check_header(data: bytes) -> dict[str, Any]:
    """Return the header, which describes exactly the bytes behind it.

    Raises:
        ValueError: If it does not, or goes beyond a limit.
    """
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > min(MAX_HEADER, len(data) - 8):
        raise ValueError(f"its header is said to have {length:,} bytes; at most {MAX_HEADER:,} are read")
    try:
        header = json.loads(data[8 : 8 + length].decode(), object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header is damaged: {error}") from error
    if not isinstance(header, dict) or len(header) > MAX_TENSORS:
        raise ValueError(f"its header does not list tensors, at most {MAX_TENSORS:,}")
    end = 0
    for name, begin, stop in sorted((_extent(name, entry) for name, entry in header.items()), key=lambda e: e[1:]):
        if begin != end:
            raise ValueError(f"tensor {name} starts at byte {begin}, not {end}")
        end = stop
    if end != len(data) - 8 - length:
        raise ValueError(f"its tensors take {end:,} bytes, not {len(data) - 8 - length:,}")
    for name, entry in header.items():
        if entry["dtype"] == "BOOL":
            _check_bools(name, data[8 + length :][slice(*entry["data_offsets"])])
    return header


def check_layout(header: Mapping[str, Any], layout: Mapping[str, Tensor]) -> None:
    """Check that a header lists exactly the tensors of a layout.

    Raises:
        ValueError: Naming the first tensor that is missing, unknown, or another one.
    """
    for name in sorted(header.keys() ^ layout.keys()):
        raise ValueError(f"tensor {name} is {'unknown' if name in header else 'missing'}")
    for name, tensor in layout.items():
        found = header[name]["dtype"], header[name]["shape"]
        expected = CODES[tensor.dtype], list(tensor.shape)
        if found != expected:
            raise ValueError(f"tensor {name} is {found[0]} {found[1]}, not {expected[0]} {expected[1]}")


def _extent(name: str, entry: Any) -> tuple[str, int, int]:
    """Return name, first byte and end of a tensor whose entry is in order."""
    if not NAME.fullmatch(name):
        raise ValueError(f"it calls a tensor {name[:50]!r}")
    if not isinstance(entry, dict) or entry.keys() != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"the entry of tensor {name} is no description of one")
    dtype, shape, offsets = entry["dtype"], entry["shape"], entry["data_offsets"]
    if not isinstance(dtype, str) or dtype not in SIZES:
        raise ValueError(f"tensor {name} has the type {dtype!r}")
    if not _are_counts(shape) or len(shape) > MAX_DIMENSIONS or max(shape, default=0) > MAX_SIDE:
        raise ValueError(f"tensor {name} has the shape {shape!r}")
    if not _are_counts(offsets) or len(offsets) != 2 or offsets[1] - offsets[0] != math.prod(shape) * SIZES[dtype]:
        raise ValueError(f"tensor {name} of shape {shape} lies at {offsets!r}")
    return name, offsets[0], offsets[1]


def _are_counts(values: Any) -> bool:
    return isinstance(values, list) and all(type(value) is int and value >= 0 for value in values)


def _check_bools(name: str, data: bytes) -> None:
    if data and int(torch.frombuffer(bytearray(data), dtype=torch.uint8).max()) > 1:
        raise ValueError(f"tensor {name} holds truth values that are neither true nor false")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name occurs twice")
    return made
