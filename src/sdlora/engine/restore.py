"""From a run folder back to the method it taught."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sdlora.engine.checkpoint import Checkpoints, load_state
from sdlora.engine.seeding import seeded
from sdlora.errors import RunError
from sdlora.methods.base import Method
from sdlora.streams import Stream


def load_method(make_method: Callable[[], Method], stream: Stream, folder: Path) -> Method:
    """Return the method as the newest valid checkpoint holds it, on the CPU.

    Args:
        make_method: As for `fit`.
        stream: As for `fit`.
        folder: A run folder, finished or not; only read.

    Raises:
        RunError: If there is no valid checkpoint, or it does not fit the method.
    """
    checkpoint, _ = Checkpoints(folder / "checkpoint").newest()
    if checkpoint is None:
        raise RunError(f"{folder} holds no checkpoint", expected="a folder that sdlora train has written")
    with seeded("load"):
        method = make_method()
        tasks = (stream.joined() if method.joint else stream).tasks
        for task in tasks[: checkpoint.progress.num_begun]:
            method.begin_task(task)
    load_state(method, checkpoint.part("method"))
    return method.eval()
