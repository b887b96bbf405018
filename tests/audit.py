"""What the interpreter reports of itself: code that is run, connections and processes that are opened."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

WATCHED = {"pickle.find_class", "socket.connect", "subprocess.Popen", "os.system", "os.exec", "os.fork"}

_open: list[list[str]] = []
_is_hooked = False


@contextmanager
def audited() -> Iterator[list[str]]:
    """Give a list to which every watched event inside the block is added; a hook, once there, stays for ever."""
    global _is_hooked
    if not _is_hooked:
        sys.addaudithook(_hear)
        _is_hooked = True
    events: list[str] = []
    _open.append(events)
    try:
        yield events
    finally:
        _open.remove(events)


def _hear(event: str, arguments: tuple[object, ...]) -> None:
    if event in WATCHED:
        for events in _open:
            events.append(f"{event} {arguments[:2]}")
