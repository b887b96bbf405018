"""Whether a run will find room on the disk: said before the first step, not after days of training."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterable
from pathlib import Path

from torch import Tensor

from sdlora.engine.checkpoint import KEPT, stored_state
from sdlora.engine.options import FitOptions, OptimOptions
from sdlora.engine.seeding import seeded
from sdlora.errors import StorageError
from sdlora.methods.base import Method
from sdlora.streams import Stream

SMALL_FILES = 1_000_000  # bytes of a checkpoint beside its tensors, and of what lies beside the checkpoints


def check_space(method: Method, stream: Stream, options: FitOptions, folder: Path) -> None:
    """Refuse a run whose checkpoints would fill the disk.

    Args:
        method: Just constructed; it stays as it is.
        stream: What it will learn.
        options: How it will be trained.
        folder: The run folder, locked; what it holds already counts as room.

    Raises:
        StorageError: If there is too little room, with what is needed and free.
    """
    held = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    needed = bytes_needed(method, stream, options) - held
    total, _, free = shutil.disk_usage(folder)
    if total and needed > free:  # some mounted stores answer nothing but zeros
        raise StorageError(
            f"the run needs about {needed:,} more bytes in {folder}; {free:,} are free",
            fix="make room, or choose a folder on another disk",
        )


def bytes_needed(method: Method, stream: Stream, options: FitOptions) -> int:
    """Return about what a run holds on the disk at most, bytes: its checkpoints, one more while it is written.

    What a method finds out about the data is counted as large as its structure makes room for.
    """
    pretrained = [parameter for parameter in method.backbone.parameters() if not parameter.requires_grad]
    twin = copy.deepcopy(method, {id(parameter): parameter for parameter in pretrained})  # shares what never changes
    state = after_tasks = 0
    for task in stream.tasks:
        with seeded(options.seed, task.index, "begin_task"):
            type(twin).begin_task(twin, task)  # one put in its place on the object would still be the original's
        state = _bytes(stored_state(twin).values())
        after_tasks += state
    trained = _bytes(parameter for parameter in twin.parameters() if parameter.requires_grad)
    checkpoint = state + _moments(options.optim) * trained + SMALL_FILES
    return (KEPT + 1) * checkpoint + (after_tasks if options.keep_task_weights else 0)


def _moments(options: OptimOptions) -> int:
    """Return how many numbers the optimiser keeps for each that it trains."""
    if options.name == "sgd":
        return 1 if options.momentum else 0
    return 2


def _bytes(tensors: Iterable[Tensor]) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in tensors)
