"""Divide the classes of a dataset among tasks."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import accumulate
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sdlora.datasets.base import Dataset, Split
from sdlora.errors import ConfigError, DataError
from sdlora.randomness import hash_key, permutation
from sdlora.registry import nearest
from sdlora.streams.stream import Stream
from sdlora.task import Task


def make_stream(
    dataset: Dataset,
    *,
    num_tasks: int | None = None,
    task_sizes: Sequence[int] | None = None,
    class_order: Literal["given"] | int | Sequence[str] | Path = "given",
) -> Stream:
    """Order the classes of a dataset and divide them into tasks.

    Args:
        dataset: Where images and classes come from.
        num_tasks: Number of tasks; where it does not divide the number of classes, the first tasks get one class more.
        task_sizes: Number of classes in each task, instead of `num_tasks`.
        class_order: ``"given"`` for the dataset's own, a seed, all class names, or a file with one name a line.

    Raises:
        ConfigError: If sizes or order do not fit the classes.
        DataError: If a class has nothing to train on, or a task nothing to test on.
    """
    order = _order(dataset.classes, class_order)  # position in the stream -> position in the dataset
    sizes = _sizes(len(order), num_tasks, task_sizes)
    offsets = [0, *accumulate(sizes)][:-1]
    names = [dataset.classes[index] for index in order]
    tasks = tuple(
        Task(index=index, classes=tuple(names[offset : offset + size]), class_offset=offset)
        for index, (offset, size) in enumerate(zip(offsets, sizes, strict=True))
    )
    class_ids = np.argsort(order)  # position in the dataset -> class id
    stream = Stream(
        name=f"{dataset.name}_{len(tasks)}",
        tasks=tasks,
        groups=tasks,
        train_split=Split(dataset.train.images, class_ids[dataset.train.labels]),
        test_split=Split(dataset.test.images, class_ids[dataset.test.labels]),
        augment=dataset.default_augment,
        digest=_digest([dataset.train.digest, dataset.test.digest, names, sizes]),
        notes=dataset.notes,
    )
    _check_images(stream)
    return stream


def _order(classes: tuple[str, ...], wanted: str | int | Sequence[str] | Path) -> NDArray[np.int64]:
    if wanted == "given":
        return np.arange(len(classes))
    if isinstance(wanted, int):
        return permutation(hash_key("class order", wanted), len(classes))
    if isinstance(wanted, str):
        raise ConfigError(f'class order "{wanted}"', expected='"given", a seed, a list of class names, or a file')
    lines = read_class_order(wanted) if isinstance(wanted, Path) else wanted
    names = [unicodedata.normalize("NFC", name) for name in lines]
    problems = [f'"{name}" stands in it {count} times' for name, count in Counter(names).items() if count > 1]
    for name in dict.fromkeys(names):
        if name not in classes:
            close = nearest(name, list(classes))
            problems.append(f'"{name}" is no class' + (f', "{close}" is' if close else ""))
    problems += [f'"{name}" is missing' for name in classes if name not in names]
    if problems:
        raise ConfigError(
            "the class order does not fit the classes: " + _listed(problems),
            expected=f"each of the {len(classes)} class names once",
        )
    place = {name: index for index, name in enumerate(classes)}
    return np.array([place[name] for name in names], dtype=np.int64)


def read_class_order(path: Path) -> list[str]:
    """Read class names from a text file, one a line; empty lines do not count.

    Raises:
        ConfigError: If there is no such file, or it is no UTF-8 text.
    """
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeError) as error:
        raise ConfigError(f"cannot read the class order {path}: {error}", expected="one class name a line") from error


def _sizes(num_classes: int, num_tasks: int | None, task_sizes: Sequence[int] | None) -> list[int]:
    if (num_tasks is None) == (task_sizes is None):
        raise ConfigError("a stream needs the number of tasks or the size of each", expected="one of the two")
    if task_sizes is not None:
        if min(task_sizes, default=0) < 1 or sum(task_sizes) != num_classes:
            raise ConfigError(
                f"task sizes {list(task_sizes)} sum to {sum(task_sizes)}",
                expected=f"sizes of at least 1 that sum to the number of classes, {num_classes}",
            )
        return list(task_sizes)
    assert num_tasks is not None
    if not 1 <= num_tasks <= num_classes:
        raise ConfigError(f"{num_tasks} tasks for {num_classes} classes", expected=f"1 to {num_classes} tasks")
    each, more = divmod(num_classes, num_tasks)
    return [each + (index < more) for index in range(num_tasks)]


def _check_images(stream: Stream) -> None:
    present = set(stream.train_split.labels.tolist())
    problems = [f'class "{name}" has no training image' for i, name in enumerate(stream.classes) if i not in present]
    problems += [
        f"task {group.index + 1} ({', '.join(group.classes[:3])}{', ...' if group.num_classes > 3 else ''}) "
        "has no test image"
        for group in stream.groups
        if not len(stream.test(group.index))
    ]
    if problems:
        raise DataError(_listed(problems), expected="images to train on and to test on in every task")


def _digest(parts: object) -> str:
    return hashlib.sha256(json.dumps(parts, ensure_ascii=True).encode()).hexdigest()


def _listed(problems: Iterable[str], limit: int = 20) -> str:
    """Join problems, the first `limit` of them and a count of the others."""
    found = list(problems)
    more = [f"and {len(found) - limit} more"] if len(found) > limit else []
    return "; ".join(found[:limit] + more)
