"""What was asked for of a lesson."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sdlora.engine import Observer
from sdlora.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """The arguments of `sdlora.Learner.learn`."""

    epochs: int | None
    time_limit: float | None
    holdout: float
    retest: tuple[Any, ...]
    update: bool
    skip_known: bool
    skip_unreadable: bool
    observer: Observer
    should_stop: Callable[[], bool]

    def __post_init__(self) -> None:
        if self.epochs is not None and self.epochs < 1:
            raise ConfigError(f"epochs = {self.epochs}", expected="at least 1")
        if self.time_limit is not None and not self.time_limit > 0:
            raise ConfigError(f"time_limit = {self.time_limit}", expected="seconds, above 0")

    def watch(self) -> None:
        """Raise KeyboardInterrupt if the caller wants to stop."""
        if self.should_stop():
            raise KeyboardInterrupt


def several(data: Any) -> tuple[Any, ...]:
    """Return data to measure on one by one: a list or a tuple is several, anything else is one, None is none."""
    if data is None:
        return ()
    return tuple(data) if isinstance(data, list | tuple) else (data,)
