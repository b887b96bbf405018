"""What a method had learned after each task, for those who want to look back: one file a task, beside the checkpoints.

weights/001.safetensors     after the first task: all of the method's state but the frozen backbone
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from sdlora.engine.checkpoint import load_state, stored_state
from sdlora.engine.seeding import seeded
from sdlora.errors import RunError
from sdlora.files import make_folder, parse_tensors, read_bytes, tensor_bytes, write_atomic
from sdlora.methods.base import Method
from sdlora.streams import Stream


def save_task_weights(folder: Path, method: Method, num_tasks: int) -> None:
    """Write what a method has learned after `num_tasks` tasks; the same weights give the same bytes.

    Args:
        folder: The run folder.
        method: Has ended its last task.
        num_tasks: Tasks learned.

    Raises:
        StorageError: If the file cannot be written.
    """
    path = _path(folder, num_tasks)
    make_folder(path.parent)
    write_atomic(path, tensor_bytes(stored_state(method)))


def load_after_task(make_method: Callable[[], Method], stream: Stream, folder: Path, num_tasks: int) -> Method:
    """Return the method as it was after some of its tasks, on the CPU.

    Args:
        make_method: As for `fit`.
        stream: As for `fit`.
        folder: A run folder; only read.
        num_tasks: Tasks learned, from 1.

    Raises:
        RunError: If the weights were not kept, are damaged, or do not fit the method.
    """
    path = _path(folder, num_tasks)
    if not path.exists():
        raise RunError(f"{folder} kept no weights of task {num_tasks}", fix="train with run.keep_task_weights=true")
    try:
        tensors = parse_tensors(read_bytes(path))
    except ValueError as error:
        raise RunError(f"{path} is damaged: {error}") from error
    with seeded("load"):
        method = make_method()
        for task in (stream.joined() if method.joint else stream).tasks[:num_tasks]:
            method.begin_task(task)
    load_state(method, tensors)
    return method.eval()


def _path(folder: Path, num_tasks: int) -> Path:
    return folder / "weights" / f"{num_tasks:03d}.safetensors"
