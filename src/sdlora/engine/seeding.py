"""Randomness as a function, not a state: every hook draws from generators seeded by what the hook is for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from sdlora.randomness import hash_key


@contextmanager
def seeded(*parts: int | str) -> Iterator[None]:
    """Seed torch's global generators from a hash of `parts`; put them back afterwards.

    Nothing drawn inside depends on what was drawn outside, and nothing outside notices. On an accelerator only its
    current device is forked, without waiting for it: a generator's state lives on the host.

    Example:
        >>> with seeded(0, "noise"):
        ...     first = torch.rand(1)
        >>> with seeded(0, "noise"):
        ...     bool(torch.rand(1) == first)
        True
    """
    is_cuda = torch.cuda.is_available() and torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
    cuda = [torch.cuda.current_device()] if is_cuda else []
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    with torch.random.fork_rng(devices=cuda):
        torch.manual_seed(hash_key(*parts))
        try:
            yield
        finally:
            if mps is not None:
                torch.mps.set_rng_state(mps)
