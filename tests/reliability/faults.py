"""Stand-ins that let something happen at a chosen call of the operating system."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

CHANGING = ("open", "write", "fsync", "chmod", "replace", "rename", "mkdir", "unlink", "link")


class Calls:
    """Put in place of the module `os` in `sdlora.files`: counts the calls that write.

    Args:
        before: Called with number, from 0, and name of a call before it is made; may raise or kill.
    """

    def __init__(self, before: Callable[[int, str], None]) -> None:
        self.before, self.names = before, []

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        if name not in CHANGING:
            return real

        def call(*arguments: Any, **options: Any) -> Any:
            self.names.append(name)
            self.before(len(self.names) - 1, name)
            return real(*arguments, **options)

        return call
