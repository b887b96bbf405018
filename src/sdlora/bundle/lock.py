"""The lock of a bundle: courtesy to the second writer. Safety rests on the exclusive commit alone."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sdlora.files import FolderLock, sweep

_held: set[tuple[str, int]] = set()


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Be the one writer of a bundle; a thread that is it already may enter again.

    Args:
        path: The bundle; created when missing, and removed again if nothing was put into it.

    Raises:
        BusyError: If another process or thread is the writer.
        StorageError: If the folder cannot be written.
    """
    key = (os.path.realpath(path), threading.get_ident())
    if key in _held:
        yield
        return
    is_new = not path.exists()
    try:
        with FolderLock(path):
            if (path / "history").is_dir():
                sweep(path / "history")
            _held.add(key)
            try:
                yield
            finally:
                _held.discard(key)
    finally:
        if is_new:
            _remove_if_empty(path)


def _remove_if_empty(path: Path) -> None:
    with suppress(OSError):
        if {entry.name for entry in os.scandir(path)} <= {".lock"}:
            (path / ".lock").unlink(missing_ok=True)
            path.rmdir()
