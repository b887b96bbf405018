"""Every error that a user of sdlora can cause or meet, and the exit code it ends a command with.

    SDLoRAError (Exception)              1
    |-- ConfigError (ValueError)         2   a command or a recipe is wrong
    |-- DataError (ValueError)           2   images, labels or folders are wrong
    |-- RunError (RuntimeError)          3   a run folder or a checkpoint is unusable
    |-- BundleError (RuntimeError)       3   a model folder is unusable
    |-- BackboneError (RuntimeError)     3   pretrained weights are damaged
    |-- NotTaughtError (RuntimeError)    3   a learner that knows no class was asked
    |-- BusyError (RuntimeError)         4   locked by another process, or a conflict with it
    |-- CheckError (RuntimeError)        5   a check that was asked for failed
    |-- PartialError (RuntimeError)      6   some inputs failed, the others were done
    |-- StorageError (OSError)           7   disk full, no permission, file system trouble
    `-- NumericalError (ArithmeticError) 8   a loss or gradient is not finite

A message has up to three parts: what happened with the value received, ``Expected:`` and ``Fix:``.
"""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from shlex import quote
from typing import ClassVar


class SDLoRAError(Exception):
    """Base of all errors that are not bugs of sdlora."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, *, expected: str | None = None, fix: str | None = None) -> None:
        parts = [what]
        if expected:
            parts.append(f"Expected: {expected}")
        if fix:
            parts.append(f"Fix: {fix}")
        super().__init__("\n".join(parts))
        self.what, self.expected, self.fix = what, expected, fix

    def __str__(self) -> str:  # OSError would print its own form
        return str(self.args[0])


class ConfigError(SDLoRAError, ValueError):
    """A command, an argument or a recipe is wrong; nothing was changed."""

    exit_code = 2


class DataError(SDLoRAError, ValueError):
    """Images, labels or folders are not what they must be; nothing was changed."""

    exit_code = 2


class RunError(SDLoRAError, RuntimeError):
    """A run folder or one of its checkpoints is missing, damaged, or belongs to another recipe."""

    exit_code = 3


class BundleError(SDLoRAError, RuntimeError):
    """A model folder is missing, damaged, or written by a newer sdlora."""

    exit_code = 3


class BackboneError(SDLoRAError, RuntimeError):
    """Pretrained weights are missing or damaged where they must be."""

    exit_code = 3


class NotTaughtError(SDLoRAError, RuntimeError):
    """A learner was asked before its first lesson."""

    exit_code = 3


class BusyError(SDLoRAError, RuntimeError):
    """Another process holds the run or model folder, or changed it meanwhile."""

    exit_code = 4


class CheckError(SDLoRAError, RuntimeError):
    """A check that the caller asked for failed; what it guards was left as it was."""

    exit_code = 5


class PartialError(SDLoRAError, RuntimeError):
    """Some inputs failed; the others were done."""

    exit_code = 6


class StorageError(SDLoRAError, OSError):
    """The disk is full, or a file cannot be read or written; what was there before is intact."""

    exit_code = 7

    @classmethod
    def from_os_error(
        cls, error: OSError, path: Path, needed: int | None = None, *, verb: str = "write"
    ) -> StorageError:
        """Describe `error` met at `path`, with the free space when the disk is full."""
        reason = (error.strerror or str(error)).lower()
        fix = None
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            folder = next((p for p in [path, *path.parents] if p.is_dir()), Path("/"))
            free = shutil.disk_usage(folder).free
            size = f"{needed:,} bytes needed, " if needed is not None else ""
            reason += f" ({size}{free:,} bytes free)"
            fix = "make room, then run the same command again"
        elif error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
            fix = "choose a folder you can write to, or change its permissions"
        elif error.errno == errno.ENOENT and verb == "write" and not path.parent.is_dir():
            fix = f"mkdir -p {quote(os.fspath(path.parent))}"
        made = cls(f"cannot {verb} {os.fspath(path)}: {reason}", fix=fix)
        made.errno = error.errno
        return made


class NumericalError(SDLoRAError, ArithmeticError):
    """A loss, gradient or weight is not finite; no step was taken with it."""

    exit_code = 8
