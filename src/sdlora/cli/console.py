"""Where a command's words go: results to stdout, everything else to stderr, one JSON document if that was asked for."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console as RichConsole


class Console:
    """Output of one command.

    Args:
        json: Print `document` and nothing else on stdout.
        quiet: Print results and errors only.
        verbose: Show what the parts of sdlora log, and tracebacks.
    """

    def __init__(self, *, json: bool = False, quiet: bool = False, verbose: bool = False) -> None:
        self.is_json, self.is_quiet, self.is_verbose = json, quiet, verbose
        self.stderr = RichConsole(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        handler = _Handler(self)
        logger = logging.getLogger("sdlora")
        logger.handlers[:] = [handler]
        logger.setLevel(logging.ERROR if quiet else logging.DEBUG if verbose else logging.WARNING)
        logger.propagate = False

    @property
    def has_bars(self) -> bool:
        """Whether stderr is a terminal on which a bar can be drawn."""
        return self.stderr.is_terminal and not self.stderr.is_dumb_terminal and not self.is_quiet

    def result(self, text: str) -> None:
        """Print a line of the result for people."""
        if not self.is_json:
            print(harmless(text), flush=True)

    def document(self, value: Any) -> None:
        """Print the result for programs."""
        if self.is_json:
            print(json_text(value, indent=2), flush=True)

    @contextmanager
    def array(self) -> Iterator[Callable[[Any], None]]:
        """Give a function that prints one element of the array that is the result for programs; memory stays flat.

        However the block ends, what was printed is a whole document.
        """
        first = True

        def add(value: Any) -> None:
            nonlocal first
            if self.is_json:
                print("[\n" if first else ",\n", json_text(value), sep="", end="", flush=True)
                first = False

        try:
            yield add
        finally:
            if self.is_json:
                print("[]" if first else "\n]", flush=True)

    def note(self, text: str) -> None:
        """Say what is going on."""
        if not self.is_quiet:
            self.stderr.print(harmless(text))

    def warn(self, text: str) -> None:
        """Say that something is not as it should be."""
        self.note(f"Warning: {text}")

    def error(self, text: str) -> None:
        """Say why the command ends."""
        self.stderr.print(harmless(f"Error: {text}"), style="red")


def harmless(text: str) -> str:
    """Return text with everything that could steer a terminal, but for ends of lines, written as an escape."""
    return "".join(
        char if char.isprintable() or char == "\n" else char.encode("unicode_escape").decode() for char in text
    )


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return JSON in which everything that could steer a terminal is written as an escape."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    return "".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")  # JSON counts in UTF-16: two escapes beyond 16 bits
    return "".join(f"\\u{units[start : start + 2].hex()}" for start in range(0, len(units), 2))


class _Handler(logging.Handler):
    """Shows log records as lines of the console."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            self.console.warn(record.getMessage())
        else:
            self.console.note(record.getMessage())
