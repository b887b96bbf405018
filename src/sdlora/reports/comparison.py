"""Which runs may stand side by side: same stream, same tasks, same backbone weights."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from sdlora.methods import METHODS, Facts
from sdlora.metrics import AccuracyMatrix, acc
from sdlora.reports.records import BackboneRecord, CostFile
from sdlora.reports.runs import Run
from sdlora.reports.spread import Difference, mean_std, paired_difference
from sdlora.reports.text import printable

Metric = Callable[[AccuracyMatrix], float | None]


@dataclass(frozen=True)
class Entry:
    """A method with one set of settings, over its seeds.

    Attributes:
        label: Name of the method, with the settings that tell it from other entries of the same method.
        runs: Finished runs by seed, at least one.
        repeats: Further finished runs of a seed that is there already; not counted.
    """

    label: str
    runs: tuple[Run, ...]
    repeats: tuple[Run, ...] = ()

    @property
    def method(self) -> str:
        """Name of the method."""
        return self.runs[0].method

    @property
    def name(self) -> str:
        """A short name for figures: that of the recipe where all runs have the same, else the label."""
        names = {run.recipe_name for run in self.runs}
        name = names.pop() if len(names) == 1 else None
        return printable(name) if name else self.label

    @property
    def is_joint(self) -> bool:
        """Whether it trains all tasks at once: an upper bound outside the ranking."""
        return self.runs[0].is_joint

    @property
    def facts(self) -> Facts | None:
        """What the method declares with these options; None if this installation does not know it."""
        if self.method not in METHODS:
            return None
        return METHODS.get(self.method).facts_with(self.runs[0].manifest.method.options)

    @property
    def cost(self) -> CostFile | None:
        """What was measured of the method, on a run if any did so; None if nobody measured it."""
        found = [run.cost for run in self.runs if run.cost is not None]
        return min(found, key=lambda cost: cost.measured_on != "run", default=None)

    @property
    def end_to_end(self) -> bool | None:
        """Whether the task loss trains all that is trained; None if nobody measured it, or nothing could be measured.

        Among the classes of a last task with one class the loss is constant, and no gradient tells anything.
        """
        if self.cost is None or (not self.cost.end_to_end and not self.is_joint and self.runs[0].task_sizes[-1] == 1):
            return None
        return self.cost.end_to_end

    @property
    def time_ratio(self) -> float | None:
        """Time of a prediction in times of the plain backbone's, median over the runs that measured it."""
        costs = [run.cost for run in self.runs if run.cost is not None]
        ratios = [cost.prediction_seconds / cost.plain_prediction_seconds for cost in costs]
        return median(ratios) if ratios else None

    @property
    def matrices(self) -> list[AccuracyMatrix]:
        """Test results, one for each run."""
        return [run.matrix for run in self.runs if run.matrix is not None]

    def by_seed(self, metric: Metric) -> dict[int, float]:
        """Return a metric of every run by seed, without runs for which it is not defined."""
        values = {run.seed: metric(matrix) for run, matrix in zip(self.runs, self.matrices, strict=True)}
        return {seed: value for seed, value in values.items() if value is not None}

    def mean_std(self, metric: Metric) -> tuple[float | None, float | None]:
        """Return mean and standard deviation of a metric over seeds."""
        return mean_std(list(self.by_seed(metric).values()))

    def mean(self, metric: Metric) -> float:
        """Return the mean of a metric that is defined for every matrix."""
        return fmean(self.by_seed(metric).values())

    def last_logged(self, name: str) -> float | None:
        """Return the mean over runs of ``trained_parameters`` or ``stored_parameters`` after the last task."""
        values = [getattr(run.tasks[-1], name) for run in self.runs if run.tasks]
        return mean_std([value for value in values if value is not None])[0]

    @property
    def seconds(self) -> list[float]:
        """Training time of each run that knows it."""
        return [run.manifest.seconds for run in self.runs if run.manifest.seconds is not None]


@dataclass(frozen=True)
class Comparison:
    """Entries that met the same task.

    Attributes:
        stream: Name of the stream.
        backbone: Weights that every run started from.
        task_sizes: Classes in each task.
        ranked: Entries that learn task by task, best Acc first.
        joint: Entries that train on everything at once, best first.
        unfinished: Runs left out of every figure.
    """

    stream: str
    backbone: BackboneRecord
    task_sizes: tuple[int, ...]
    ranked: tuple[Entry, ...]
    joint: tuple[Entry, ...]
    unfinished: tuple[Run, ...]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Ranked entries, then joint ones."""
        return self.ranked + self.joint

    @property
    def runs(self) -> list[Run]:
        """Finished runs of all entries."""
        return [run for entry in self.entries for run in entry.runs]

    def difference(self, first: Entry, second: Entry, metric: Metric = acc) -> Difference | None:
        """Compare two entries on seeds for which both met the same images in the same order of classes."""
        streams = {run.seed: run.manifest.stream.digest for run in first.runs}
        same = {run.seed for run in second.runs if run.manifest.stream.digest == streams.get(run.seed)}
        others = {seed: value for seed, value in second.by_seed(metric).items() if seed in same}
        return paired_difference(first.by_seed(metric), others)


def compare(runs: Iterable[Run]) -> list[Comparison]:
    """Sort runs into comparisons, and within each into entries."""
    return [_comparison(members) for members in _grouped(runs, _arena).values()]


def _arena(run: Run) -> tuple[Any, ...]:
    stream, backbone = run.manifest.stream, run.manifest.backbone
    return stream.name, run.task_sizes, backbone.name, backbone.sha256


def _grouped(runs: Iterable[Run], key: Callable[[Run], Any]) -> dict[Any, list[Run]]:
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault(key(run), []).append(run)
    return groups


def _comparison(runs: list[Run]) -> Comparison:
    finished = [run for run in runs if run.is_finished]
    entries = [entry for group in _grouped(finished, lambda run: run.method).values() for entry in _entries(group)]
    entries.sort(key=lambda entry: (-entry.mean(acc), entry.label))
    return Comparison(
        stream=printable(runs[0].manifest.stream.name),
        backbone=runs[0].manifest.backbone,
        task_sizes=runs[0].task_sizes,
        ranked=tuple(entry for entry in entries if not entry.is_joint),
        joint=tuple(entry for entry in entries if entry.is_joint),
        unfinished=tuple(run for run in runs if not run.is_finished),
    )


def _entries(runs: list[Run]) -> Iterable[Entry]:
    """Split the runs of one method by their settings and name what differs."""
    variants: list[tuple[dict[str, Any], list[Run]]] = []
    for run in runs:
        settings = run.settings
        for known, members in variants:
            if known == settings:
                members.append(run)
                break
        else:
            variants.append((settings, [run]))
    telling = _telling([settings for settings, _ in variants])
    for settings, members in variants:
        detail = ", ".join(f"{key.removeprefix('method.')}={settings[key]}" for key in telling if key in settings)
        by_seed = {run.seed: run for run in reversed(members)}
        yield Entry(
            label=printable(f"{members[0].method} ({detail})" if detail else members[0].method),
            runs=tuple(by_seed[seed] for seed in sorted(by_seed)),
            repeats=tuple(run for run in members if run is not by_seed[run.seed]),
        )


def _telling(variants: list[dict[str, Any]]) -> list[str]:
    """Choose few keys whose values tell all variants apart, options of the method before others."""
    keys = sorted({key for settings in variants for key in settings}, key=lambda key: (key[:7] != "method.", key))
    chosen: list[str] = []

    def num_told_apart(key: str) -> int:
        return len({tuple(repr(settings.get(name)) for name in (*chosen, key)) for settings in variants})

    while len(variants) > 1 and (not chosen or num_told_apart(chosen[0]) < len(variants)):
        chosen.append(max(keys, key=num_told_apart))
    return sorted(chosen)
