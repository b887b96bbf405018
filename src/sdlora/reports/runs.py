"""Run folders as objects: the only place of this package that reads files."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from sdlora.engine.metric_log import read_rows
from sdlora.errors import DataError, RunError
from sdlora.files import read_json
from sdlora.methods import METHODS
from sdlora.metrics import AccuracyMatrix
from sdlora.reports.records import ConfusionFile, CostFile, HeadsFile, Manifest, MatrixFile, Record, TaskRow
from sdlora.reports.text import plural

logger = logging.getLogger("sdlora")

HEADS = "heads.json"
"""Name of the file in a run folder that `HeadsFile` describes."""

RecordT = TypeVar("RecordT", bound=Record)


@dataclass(frozen=True)
class Run:
    """One method on one stream with one seed.

    Attributes:
        path: Its folder, as it was found.
        manifest: Where the run comes from.
        matrix: Test results, or None while no task is done.
        tasks: What was logged after each task, in order.
        recipe: Text of the resolved recipe, empty if the folder has none.
        cost: What the method was measured to cost, or None.
        confusion: Test images of each class (row) taken for each class (column) after the last task, or None.
        heads: What other heads make of its features, or None.
    """

    path: Path
    manifest: Manifest
    matrix: AccuracyMatrix | None
    tasks: tuple[TaskRow, ...]
    recipe: str
    cost: CostFile | None
    confusion: list[list[int]] | None
    heads: HeadsFile | None = None

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.manifest.method.name

    @property
    def seed(self) -> int:
        """Seed of the run."""
        return self.manifest.seed

    @property
    def recipe_name(self) -> str | None:
        """Name of the recipe, which ``sdlora train`` gives the folder above those of its seeds; None elsewhere."""
        return self.path.resolve().parent.name if self.path.resolve().name == f"seed{self.seed}" else None

    @property
    def is_finished(self) -> bool:
        """Whether the run came to its end."""
        return self.manifest.status == "finished"

    @property
    def is_joint(self) -> bool:
        """Whether all tasks were trained at once."""
        if self.matrix is not None and self.matrix.num_groups > 1:
            return self.matrix.is_joint
        return self.method in METHODS and METHODS.get(self.method).joint

    @property
    def dataset(self) -> str:
        """Name of the dataset that the stream is made from."""
        return str(self.settings.get("stream.dataset", self.manifest.stream.name))

    @property
    def task_sizes(self) -> tuple[int, ...]:
        """Classes in each task."""
        return tuple(len(task) for task in self.manifest.stream.tasks)

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe as dotted keys, less what only says where and how often to run."""
        manifest = self.manifest
        recipe = manifest.recipe or {"method": {"name": manifest.method.name, "options": manifest.method.options}}
        dotted = {key.replace("method.options.", "method."): value for key, value in _dotted(recipe)}
        place = ("run.", "stream.root")
        return {key: value for key, value in dotted.items() if value is not None and not key.startswith(place)}


def load_runs(paths: Iterable[str | Path]) -> list[Run]:
    """Load every run in or below the given folders, unfinished ones too.

    Files are passed over, and so are hidden folders, checkpoints and folders that end in ``.old`` unless named.

    Returns:
        Runs sorted by stream, method and seed.

    Raises:
        RunError: If there is none, or a file of one is damaged.
    """
    tops = [Path(path) for path in paths]
    found: dict[Path, Path] = {}
    for path in tops:
        if not path.exists():
            raise RunError(f"{path} does not exist", expected="a run folder, or a folder above run folders")
        for folder in _run_folders(path):
            found.setdefault(folder.resolve(), folder)
    if strays := [str(path) for path in tops if not path.is_dir()]:
        logger.warning("passed over %s without a run: %s", plural(len(strays), "file"), ", ".join(strays[:3]))
    if not found:
        raise RunError(
            f"no run in {', '.join(map(str, tops)) or 'an empty list'}",
            expected="folders with manifest.json and matrix.json",
            fix="name a folder that sdlora train wrote into",
        )
    runs = [_load_run(folder) for folder in found.values()]
    return sorted(runs, key=lambda run: (run.manifest.stream.name, run.method, run.seed, str(run.path)))


def _run_folders(top: Path) -> Iterable[Path]:
    for folder, below, files in os.walk(top):
        if "manifest.json" in files:
            below.clear()
            yield Path(folder)
        else:
            below[:] = sorted(name for name in below if _may_hold_runs(name))


def _may_hold_runs(name: str) -> bool:
    """Tell folders of runs from hidden ones, from what ``--fresh`` moved aside, and from checkpoints."""
    return not name.startswith(".") and not name.endswith(".old") and name != "checkpoint"


def _load_run(folder: Path) -> Run:
    manifest = _load(Manifest, folder / "manifest.json", "what sdlora train writes")
    matrix = None
    if manifest.status == "finished" or (folder / "matrix.json").exists():
        matrix = _load_matrix(folder / "matrix.json", manifest)
    recipe = folder / "recipe.toml"
    text = recipe.read_text(encoding="utf-8", errors="replace") if recipe.is_file() else ""
    tasks = _load_tasks(folder / "metrics.jsonl")
    return Run(
        folder,
        manifest,
        matrix,
        tasks,
        text,
        _load_cost(folder / "cost.json"),
        _load_confusion(folder, manifest),
        _load_heads(folder / HEADS, manifest),
    )


def _load_cost(path: Path) -> CostFile | None:
    return _load(CostFile, path, "what sdlora train writes") if path.exists() else None


def _load_heads(path: Path, manifest: Manifest) -> HeadsFile | None:
    if not path.exists():
        return None
    expected = "hits of each head for each task, as sdlora analyze --heads writes"
    file = _load(HeadsFile, path, expected)
    if {len(row) for row in (*file.hits.values(), file.totals)} != {len(manifest.stream.tasks)}:
        raise _damaged(path, expected, "not every head has a number for every task")
    return file


def _load_confusion(folder: Path, manifest: Manifest) -> list[list[int]] | None:
    path, size = folder / "confusion.json", len(manifest.stream.classes)
    if not path.exists():
        return None
    expected = f"counts of images, {size} x {size}"
    counts = _load(ConfusionFile, path, expected).counts
    if len(counts) != size or {len(row) for row in counts} != {size}:
        raise _damaged(path, expected, f"it has {len(counts)} rows of {sorted({len(row) for row in counts})}")
    return counts


def _load_matrix(path: Path, manifest: Manifest) -> AccuracyMatrix | None:
    num_tasks = len(manifest.stream.tasks)
    expected = f"integer hits and totals, {num_tasks} x {num_tasks}, or one row for joint training"
    file = _load(MatrixFile, path, expected)
    is_finished = manifest.status == "finished"
    if not file.hits and not is_finished:
        return None
    try:
        matrix = AccuracyMatrix.from_rows(file.hits, file.totals)
    except DataError as error:
        raise _damaged(path, expected, error.what) from error
    if is_finished and matrix.num_groups != num_tasks:
        raise _damaged(path, expected, f"its last row has {matrix.num_groups} groups")
    return matrix


def _load_tasks(path: Path) -> tuple[TaskRow, ...]:
    expected = "one JSON object a line"
    try:
        rows = [row for row in read_rows(path) if row["event"] == "task"] if path.exists() else []
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise _damaged(path, expected, str(error)) from error
    return tuple(_validated(TaskRow, row, path, expected) for row in rows)


def _load(kind: type[RecordT], path: Path, expected: str) -> RecordT:
    try:
        content = read_json(path)
    except ValueError as error:
        raise _damaged(path, expected, str(error).removeprefix(f"{path} ").removeprefix("is damaged: ")) from error
    return _validated(kind, content, path, expected)


def _validated(kind: type[RecordT], content: Any, path: Path, expected: str) -> RecordT:
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise _damaged(path, expected, f"{place}: {first['msg']}".removeprefix(": ")) from error


def _damaged(path: Path, expected: str, found: str) -> RunError:
    fix = f"leave {path.parent} out, or train it again"
    return RunError(f"{path} is damaged: {found}", expected=expected, fix=fix)


def _dotted(table: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in table.items():
        if isinstance(value, dict):
            yield from _dotted(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def last_day(runs: Iterable[Run]) -> str | None:
    """Return the date on which the last of the runs ended, as ISO text."""
    return max((run.manifest.finished[:10] for run in runs if run.manifest.finished), default=None)
