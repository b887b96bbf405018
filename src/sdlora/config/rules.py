"""Which keys go together: a key that would change nothing is an error, and so is a missing one that others need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sdlora.config.problems import Path, Problem
from sdlora.config.schema import OptimSection
from sdlora.config.signature import words
from sdlora.methods.base import Method

TRAINING_KEYS = tuple(key for key in OptimSection.model_fields if key != "batch_size")
"""Keys of ``[optim]`` that mean nothing to a method that takes no steps."""


def conflicts(document: Mapping[str, Any], method: type[Method] | None) -> Iterator[Problem]:
    """Yield what is wrong between keys, each of which may be right by itself.

    Args:
        document: The recipe as written.
        method: The method it names, or None if there is no such method.
    """
    yield from _stream(_table(document, "stream"))
    optim = _table(document, "optim")
    if method is not None and method.num_epochs == 0:
        yield from (_idle(("optim", key), "the method takes no steps") for key in TRAINING_KEYS if key in optim)
        return
    yield from (_missing(key) for key in ("name", "lr") if key not in optim)
    if method is not None:
        yield from _epochs(optim, method)
    if optim.get("name") == "sgd" and "momentum" not in optim:
        yield _missing("momentum")
    if optim.get("name") in ("adam", "adamw") and "momentum" in optim:
        yield _idle(("optim", "momentum"), f"{optim['name']} has no such setting")


def _table(document: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = document.get(name)
    return table if isinstance(table, Mapping) else {}


def _stream(stream: Mapping[str, Any]) -> Iterator[Problem]:
    if "num_tasks" in stream and "task_sizes" in stream:
        yield Problem(("stream", "task_sizes"), "stands beside stream.num_tasks. Expected: one of the two")
    if "num_tasks" not in stream and "task_sizes" not in stream:
        yield Problem(("stream", "num_tasks"), "missing. Expected: integer, or stream.task_sizes, a list of integers")


def _epochs(optim: Mapping[str, Any], method: type[Method]) -> Iterator[Problem]:
    if method.num_epochs is None and "epochs" not in optim:
        yield _missing("epochs")
    if method.num_epochs is not None and "epochs" in optim:
        yield _idle(("optim", "epochs"), f"the method always takes {method.num_epochs}")


def _missing(key: str) -> Problem:
    return Problem(("optim", key), f"missing. Expected: {words(OptimSection.model_fields[key])}")


def _idle(path: Path, reason: str) -> Problem:
    return Problem(path, f"would change nothing: {reason}. Fix: leave it out")
