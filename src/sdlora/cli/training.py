"""Train the seeds of a recipe one after another, and sum up how they ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdlora.cli.console import Console
from sdlora.cli.progress import TrainingProgress
from sdlora.config.build import Experiment
from sdlora.config.resolved import recipe_toml, resolved
from sdlora.engine import RunResult, fit
from sdlora.errors import RunError
from sdlora.files import FolderLock, remove_folder, storage_errors
from sdlora.learner.run_model import keep_model
from sdlora.metrics import AccuracyMatrix, aaa, acc, forgetting
from sdlora.reports.spread import mean_std
from sdlora.reports.text import plural, plus_minus

METRICS: dict[str, Callable[[AccuracyMatrix], float | None]] = {"acc": acc, "aaa": aaa, "forgetting": forgetting}


@dataclass(frozen=True)
class Outcome:
    """How the run of one seed ended.

    Attributes:
        seed: The seed.
        result: What `fit` returned.
        place: Task and epoch in which a signal stopped it.
        model: Its bundle; None of a run that is not finished, or whose method leaves none.
    """

    seed: int
    result: RunResult
    place: str
    model: Path | None

    @property
    def matrix(self) -> AccuracyMatrix | None:
        """The accuracy matrix, once the run is finished."""
        if self.result.status != "finished":
            return None
        return AccuracyMatrix.from_rows(self.result.hits, self.result.totals)

    def row(self) -> dict[str, Any]:
        """Return the run as ``--json`` prints it; the metrics of an unfinished one are None."""
        metrics = {name: metric(self.matrix) if self.matrix else None for name, metric in METRICS.items()}
        place = {"path": str(self.result.folder), "seed": self.seed, "status": self.result.status}
        model = None if self.model is None else str(self.model)
        return {**place, **metrics, "seconds": self.result.seconds, "model": model}


def train_seeds(
    experiment: Experiment, console: Console, *, name: str, fresh: bool = False, later_runs: int = 0
) -> list[Outcome]:
    """Train every seed of a recipe that is not finished, until all are or a signal stops one.

    Args:
        experiment: What to train.
        console: Hears how it goes.
        name: What the runs are called, before the seed.
        fresh: Begin anew; the run that was there is kept as ``seed<k>.old``.
        later_runs: Runs of about the same length that will follow these.
    """
    outcomes: list[Outcome] = []
    seeds = experiment.recipe.run.seeds
    for position, seed in enumerate(seeds):
        folder = experiment.folder(seed)
        if fresh:
            set_aside(folder)
        label = f"{name} seed {seed}" if len(seeds) > 1 else name
        with TrainingProgress(console, label, later_runs=len(seeds) - position - 1 + later_runs) as progress:
            result = fit(
                experiment.method,
                experiment.stream(seed),
                experiment.options(seed),
                folder,
                recipe=resolved(experiment.recipe),
                recipe_text=recipe_toml(experiment.recipe, seed),
                observer=progress,
            )
        is_finished = result.status == "finished"
        model = keep_model(experiment, seed, result) if is_finished else None
        outcomes.append(Outcome(seed, result, progress.place, model))
        if not is_finished:
            break
        if not progress.is_begun:
            console.note(f"  {label} was finished before: {folder}")
    return outcomes


def set_aside(folder: Path) -> None:
    """Rename a run folder so that ``.old`` ends it; what bore that name goes.

    Raises:
        RunError: If one of the two is no run folder.
        BusyError: If another process trains in it.
    """
    if not folder.exists():
        return
    old = folder.with_name(f"{folder.name}.old")
    for path in (folder, old):
        if path.exists() and not (path / "manifest.json").is_file():
            raise RunError(f"{path} is no run folder, so it stays where it is", fix="run.output_dir=NEW_FOLDER")
    with FolderLock(folder):
        pass  # nobody trains there
    if old.exists():
        remove_folder(old)
    with storage_errors(folder):
        folder.rename(old)


def summary(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """Return the document that ``sdlora train --json`` prints: fractions, seconds; None for what was not measured."""
    matrices = [outcome.matrix for outcome in outcomes if outcome.matrix]
    document: dict[str, Any] = {"runs": [outcome.row() for outcome in outcomes]}
    for name, metric in METRICS.items():
        values = [value for matrix in matrices if (value := metric(matrix)) is not None]
        document[f"{name}_mean"], document[f"{name}_std"] = mean_std(values)
    return document


def figures(document: dict[str, Any]) -> str:
    """Return Acc, AAA and forgetting of a `summary` as one line."""
    names = {"acc": "Acc", "aaa": "AAA", "forgetting": "forgetting"}
    values = [f"{word} {plus_minus(document[f'{name}_mean'], document[f'{name}_std'])}" for name, word in names.items()]
    count = sum(row["status"] == "finished" for row in document["runs"])
    spread = "mean ± std, " if count > 1 else ""
    return f"{'   '.join(values)}   (%, {spread}{plural(count, 'seed')})"
