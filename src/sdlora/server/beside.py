"""Processes that work for the server and give way to it."""

from __future__ import annotations

import asyncio
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Sequence

DECODING, TEACHING = 10, 15  # niceness; the model, which answers come from, has none


async def start_process(command: Sequence[str], *, limit: int, stderr: int | None = None) -> Process:
    """Start a process that is talked to by pipes.

    It has a process group of its own, so that Ctrl-C at a terminal reaches the server alone; but not a session of its
    own, since Linux gives every session the same share of the processors, whatever the niceness of its processes.

    Args:
        command: Program and arguments.
        limit: Longest line, or else what is read ahead, bytes.
        stderr: Where its messages go; with the server's own by default.

    Raises:
        OSError: If it cannot be started.
    """
    return await asyncio.create_subprocess_exec(
        *command, stdin=PIPE, stdout=PIPE, stderr=stderr, process_group=0, limit=limit
    )


def step_back(niceness: int) -> None:
    """Let the server go first, where the system can do that."""
    if hasattr(os, "nice"):
        os.nice(niceness)
