"""How far work has come that is one image after another: a bar on a terminal, else now and then a line."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from sdlora.cli.console import Console
from sdlora.reports.text import duration

T = TypeVar("T")

PLAIN_SECONDS = 30.0  # longest silence without a terminal


def counting(console: Console, label: str, things: Iterable[T], total: int) -> Iterator[T]:
    """Yield things and show how many of them there have been.

    Args:
        console: Where to show it.
        label: What is being done.
        things: What is handed on.
        total: How many there will be.
    """
    if not console.has_bars:
        yield from _with_lines(console, label, things, total)
        return
    columns = (TextColumn("  {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console.stderr, transient=True) as bar:
        yield from bar.track(things, total=total, description=label)


def _with_lines(console: Console, label: str, things: Iterable[T], total: int) -> Iterator[T]:
    started = told = time.monotonic()
    for done, thing in enumerate(things, start=1):
        yield thing
        now = time.monotonic()
        if now - told >= PLAIN_SECONDS:
            left = (now - started) / done * (total - done)
            console.note(f"  {label} {done:,} of {total:,}, {duration(left)} left")
            told = now
