"""A table from names to things, with helpful errors for names it does not hold."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from sdlora.errors import ConfigError

T = TypeVar("T")


def nearest(name: str, known: list[str], *, likeness: float = 0.5) -> str | None:
    """Return the known name closest to `name`, or None if none is as much like it: 1 is the same, 0 another word."""
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=likeness)), None)


class Registry(Generic[T]):
    """Names to things of one kind, such as methods.

    Args:
        kind: What the things are called in errors, singular.

    Example:
        >>> shapes = Registry[type]("shape")
        >>> _ = shapes.register("circle")(int)
        >>> shapes.get("circle")
        <class 'int'>
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._things: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Return a decorator that files its argument under `name`.

        Raises:
            ValueError: If the name is taken.
        """

        def decorate(thing: T) -> T:
            if name in self._things:
                raise ValueError(f"{self.kind} {name!r} is registered twice")
            self._things[name] = thing
            return thing

        return decorate

    def get(self, name: str) -> T:
        """Return the thing called `name`.

        Raises:
            ConfigError: If there is none; the message lists the known names and proposes the nearest.
        """
        if name not in self._things:
            close = nearest(name, self.names())
            raise ConfigError(
                f'no {self.kind} is called "{name}"',
                expected=f"one of {', '.join(self.names())}",
                fix=f'did you mean "{close}"?' if close else None,
            )
        return self._things[name]

    def names(self) -> list[str]:
        """Return all names, sorted."""
        return sorted(self._things)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def __contains__(self, name: object) -> bool:
        return name in self._things
