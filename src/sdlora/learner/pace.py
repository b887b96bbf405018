"""How long a lesson takes, from what it has done so far."""

from __future__ import annotations

import time

from torch import Tensor

TIMED = 2  # steps, after the very first, which pays for what is set up once
SLOW = 5.0  # seconds; a first step as slow as that is itself the measure


class Pace:
    """Times the first steps of training, until they tell how long all the others will take."""

    def __init__(self) -> None:
        self._since, self._steps, self._is_known = time.monotonic(), 0, False

    def step(self, loss: Tensor) -> float | None:
        """Note that a step was made, and return the seconds of one step, once, as soon as that is known.

        Args:
            loss: Of the step; it is read where a time is taken, because a GPU answers before it has done its work.
        """
        self._steps += 1
        if self._is_known or self._steps not in (1, 1 + TIMED):
            return None
        loss.item()
        now = time.monotonic()
        taken, self._since = now - self._since, now
        if self._steps == 1 and taken < SLOW:
            return None
        self._is_known = True
        return taken if self._steps == 1 else taken / TIMED
