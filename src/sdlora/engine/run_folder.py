"""The folder of one run: manifest, recipe, metric log, results and checkpoints, and the rules for finding it again.

The first thing written is a checkpoint and the last thing a manifest that says ``finished``. So a manifest without
checkpoints means that they were lost, and a finished run is known without its lock.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from torch import Tensor

from sdlora.engine.checkpoint import Checkpoint, Checkpoints
from sdlora.engine.manifest import changed_surroundings, conflicts
from sdlora.engine.metric_log import MetricLog
from sdlora.engine.progress import Observer, Progress, Row
from sdlora.engine.rows import end_row
from sdlora.errors import RunError
from sdlora.files import FolderLock, read_json, write_atomic, write_json


@dataclass(frozen=True)
class RunResult:
    """How a run ended.

    Attributes:
        folder: Where everything is.
        status: ``"finished"``, or ``"stopped"`` by a signal: the same call continues.
        hits: The accuracy matrix's numerators: row i after task i, column j for test group j, images.
        totals: Its denominators.
        seconds: Time spent, over all sessions.
        signal: Number of the signal that stopped it, or None.
    """

    folder: Path
    status: Literal["finished", "stopped"]
    hits: list[Row]
    totals: list[Row]
    seconds: float
    signal: int | None = None

    @property
    def exit_code(self) -> int:
        """0, 130 after SIGINT, 143 after SIGTERM."""
        return 0 if self.signal is None else 128 + self.signal


class RunFolder:
    """Files of one run.

    Args:
        path: The folder.
        description: What `sdlora.engine.manifest.describe` says of the run that is asked for.
        recipe_text: The recipe as TOML, kept as ``recipe.toml``; empty for none.
        observer: Hears warnings.
    """

    def __init__(self, path: Path, description: dict[str, Any], recipe_text: str, observer: Observer) -> None:
        self.path, self.description, self.recipe_text, self.observer = path, description, recipe_text, observer
        self.checkpoints = Checkpoints(path / "checkpoint")
        self.log = MetricLog(path / "metrics.jsonl")
        self.started = _now()

    def finished(self) -> RunResult | None:
        """Return the result if the run is done; no byte changes.

        Raises:
            RunError: If the folder holds the result of another run.
        """
        manifest, matrix = self._read("manifest.json"), self._read("matrix.json")
        if manifest.get("status") != "finished" or not matrix.keys() >= {"hits", "totals"}:
            return None
        self._refuse_conflicts(manifest)
        return RunResult(self.path, "finished", matrix["hits"], matrix["totals"], manifest["seconds"])

    def lock(self) -> AbstractContextManager[FolderLock]:
        """Return the lock to hold while training."""
        return FolderLock(self.path)

    def restore(self) -> Checkpoint | None:
        """Return where to go on, or None at the very start; nothing is written yet.

        Raises:
            RunError: If the folder belongs to another run, all its checkpoints are damaged, or they were lost.
        """
        checkpoint, problems = self.checkpoints.newest()
        if checkpoint is None:
            self._refuse_foreign()
            return None
        self._refuse_conflicts(checkpoint.state["description"])
        for problem in problems:
            self.observer.on_warning(f"{problem}: the checkpoint before it is used")
        for change in changed_surroundings(checkpoint.state["description"], self.description):
            self.observer.on_warning(f"{change}: the result may differ in its last bits from an unbroken run")
        self.started = self._read("manifest.json").get("started", self.started)
        self.log.data = checkpoint.metrics
        return checkpoint

    def open(self, progress: Progress) -> None:
        """Write what a running run shows: recipe, manifest, and log and matrix up to the checkpoint."""
        if self.recipe_text:
            write_atomic(self.path / "recipe.toml", self.recipe_text.encode())
        self.log.restore()
        if progress.hits:
            self.write_matrix(progress)
        self._write_manifest("running", progress)

    def save(self, progress: Progress, tensors: dict[str, Tensor]) -> None:
        """Add a checkpoint."""
        state = {"description": self.description, "progress": progress.to_json()}
        self.checkpoints.save(Checkpoint(state, tensors, self.log.data))

    def write_matrix(self, progress: Progress) -> None:
        """Write the accuracy matrix so far."""
        tasks = self.description["stream"]["tasks"]
        matrix = {
            "format": 1,
            "hits": progress.hits,
            "totals": progress.totals,
            "classes_per_task": [len(classes) for classes in tasks],
        }
        write_json(self.path / "matrix.json", matrix)

    def write_confusion(self, counts: list[list[int]]) -> None:
        """Write how many test images of each class (row) were taken for each class (column), after the last task."""
        rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in counts)
        write_atomic(self.path / "confusion.json", f'{{"format": 1, "counts": [\n{rows}\n]}}\n'.encode())

    def write_cost(self, cost: Mapping[str, Any]) -> None:
        """Write what the method costs after the last task."""
        write_json(self.path / "cost.json", {"format": 1, **cost})

    def stop(self, progress: Progress, signal: int | None) -> RunResult:
        """Say that the run waits to be continued."""
        return self._close("stopped", progress, signal)

    def finish(self, progress: Progress) -> RunResult:
        """Say that the run is done."""
        self.log.append(end_row(progress))
        self.write_matrix(progress)
        return self._close("finished", progress, None)

    def _close(self, status: Literal["finished", "stopped"], progress: Progress, signal: int | None) -> RunResult:
        seconds = self._write_manifest(status, progress)
        return RunResult(self.path, status, progress.hits, progress.totals, seconds, signal)

    def _write_manifest(self, status: Literal["running", "finished", "stopped"], progress: Progress) -> float:
        seconds = progress.clock.read()["run"]
        times = {"started": self.started, "finished": _now() if status == "finished" else None, "seconds": seconds}
        write_json(self.path / "manifest.json", self.description | {"status": status} | times)
        return seconds

    def _read(self, name: str) -> dict[str, Any]:
        try:
            value = read_json(self.path / name)
        except ValueError:
            return {}  # missing or damaged: the checkpoints tell the same, and more
        return value if isinstance(value, dict) else {}

    def _refuse_conflicts(self, old: dict[str, Any]) -> None:
        if found := conflicts(old, self.description):
            raise RunError(
                f"{self.path} was made with " + "\n".join(found),
                fix="run.output_dir=NEW_FOLDER, or --fresh to begin anew",
            )

    def _refuse_foreign(self) -> None:
        if (self.path / "manifest.json").exists():
            raise RunError(f"{self.path} holds a run that has lost its checkpoints", fix="--fresh to begin anew")
        for name in ("matrix.json", "metrics.jsonl", "recipe.toml"):
            if (self.path / name).exists():
                raise RunError(f"{self.path / name} is not from a run of sdlora", fix="run.output_dir=NEW_FOLDER")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
