"""How well a lesson is going: held-out images between two epochs, for whoever watches."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch

from sdlora.engine import Observer
from sdlora.learner.measure import answers
from sdlora.learner.observer import LessonObserver
from sdlora.methods import Method
from sdlora.methods.linear_classifier import LinearClassifier
from sdlora.streams import TaskSplit

SHARE = 0.05  # of the time since training began that may be spent on it


class Glimpse:
    """Measures a method in training as often as that costs little; it changes nothing in it.

    Nothing is measured unless a `LessonObserver` watches and the method answers with what it trains: others become
    able to answer only when the task ends.

    Args:
        method: In training.
        split: Held-out images.
        observer: Who watches.
        device: Where the method is.
        watch: Called before every batch; may raise.
    """

    def __init__(
        self, method: Method, split: TaskSplit, observer: Observer, device: torch.device, watch: Callable[[], None]
    ) -> None:
        self._method, self._split, self._device, self._watch = method, split, device, watch
        able = isinstance(method, LinearClassifier) and method.predicts_in_training and len(split)
        self._observer = observer if able and isinstance(observer, LessonObserver) else None
        self._begun, self._spent, self._last = time.monotonic(), 0.0, 0.0

    def take(self) -> None:
        """Measure and tell, or leave it for later."""
        now = time.monotonic()
        if self._observer is None or self._spent + self._last > SHARE * (now - self._begun):
            return
        said = answers(self._method, self._split, self._device, self._watch)
        self._last = time.monotonic() - now
        self._spent += self._last
        self._observer.on_held_out(float((said == self._split.labels).mean()))
