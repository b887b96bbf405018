"""Random numbers as a pure function of what they are for: no generator, no state, nothing to store or to restore.

A key is hashed from parts such as (seed, task, epoch); number j of item i under a key is a hash of (key, i, j). The
hash is the finaliser of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), vectorised over items.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2^64 divided by the golden ratio: SplitMix64's increment


def hash_key(*parts: int | str) -> int:
    """Return 64 bits that depend on every part, its type and its place.

    Example:
        >>> hash_key("order", 12) == hash_key("order", 1, 2)
        False
    """
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "little")


def random_bits(key: int, items: NDArray[np.int64], count: int) -> NDArray[np.uint64]:
    """Return `count` numbers of 64 random bits for each item: (N, count)."""
    start = _mix(np.uint64(key) + GOLDEN * (items.astype(np.uint64) + np.uint64(1)))  # (N,), wraps around
    return _mix(start[:, None] + GOLDEN * np.arange(1, count + 1, dtype=np.uint64))


def uniforms(key: int, items: NDArray[np.int64], count: int) -> NDArray[np.float64]:
    """Return `count` numbers for each item, uniform in 0 <= u < 1: (N, count)."""
    return (random_bits(key, items, count) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def permutation(key: int, length: int) -> NDArray[np.int64]:
    """Return 0 .. length - 1 in random order."""
    return np.argsort(random_bits(key, np.arange(length), 1)[:, 0], kind="stable")


def _mix(bits: NDArray[np.uint64]) -> NDArray[np.uint64]:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))
