"""What a user is told when a command fails, and the exit code it fails with."""

from __future__ import annotations

import os
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from shlex import quote

import typer

from sdlora.cli.console import Console
from sdlora.errors import SDLoRAError, StorageError

INTERNAL = 1


def explain(error: Exception, console: Console, words: Sequence[str] = ()) -> int:
    """Print what went wrong, where more stands if it is our fault, and return the exit code.

    Args:
        error: What ended the command.
        console: Where to say so.
        words: The command's arguments, for a proposal to mend them.
    """
    if isinstance(error, typer.TyperException):
        context = getattr(error, "ctx", None)
        path = context.command_path if context else "sdlora"
        fix = _as_override(getattr(error, "option_name", ""), words) or f"{path} --help"
        console.error(f"{error.format_message()}\nFix: {fix}")
        return error.exit_code
    if isinstance(error, OSError) and not isinstance(error, SDLoRAError) and error.filename is not None:
        error = StorageError.from_os_error(error, Path(os.fsdecode(error.filename)), verb="use")
    if console.is_verbose:
        console.note("".join(traceback.format_exception(error)).rstrip())
    if isinstance(error, SDLoRAError):
        console.error(str(error))
        return error.exit_code
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":  # torch's, without importing it
        console.error(f"out of memory: {error}\nFix: a smaller optim.batch_size; the same command continues")
        return INTERNAL
    console.error(f"{type(error).__name__}: {error}\nThis is a bug in sdlora. {_keep(error)}")
    return INTERNAL


def _as_override(option: str, words: Sequence[str]) -> str | None:
    """Return the override that an option such as ``--optim.lr`` was meant to be, if it is like one."""
    name = option.lstrip("-")
    if "." not in name:
        return None
    meant = (word.lstrip("-") for word in words if word.startswith(f"{option}="))
    return f"{quote(next(meant, f'{name}=VALUE'))}, without dashes"


def _keep(error: Exception) -> str:
    """Write the traceback to a log file and say where it is."""
    from sdlora.files import write_atomic  # brings torch, which takes a second to import

    path = Path(tempfile.gettempdir()) / f"sdlora-error-{os.getpid()}.txt"
    try:
        write_atomic(path, "".join(traceback.format_exception(error)).encode())
    except StorageError as trouble:
        return f"Its traceback could not be stored: {trouble}. Run the command with --verbose."
    return f"The traceback is in {path}."
