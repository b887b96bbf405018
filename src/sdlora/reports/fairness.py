"""What a careful reader wants to know before trusting a comparison."""

from __future__ import annotations

from collections.abc import Iterable
from shlex import quote

from sdlora.reports.comparison import Comparison
from sdlora.reports.runs import Run
from sdlora.reports.text import listed, plural, printable

INPUT_RANGE = ("backbone.mean", "backbone.std")  # absent where it is the backbone's own

_SEEN_IN_PRETRAINING = {
    "imagenet_r": "its 200 classes are ImageNet classes, drawn and painted",
    "imagenet_a": "its 200 classes are ImageNet classes",
    "cifar100": "its classes are among those of ImageNet-21k",
    "cub200": "many of its birds are among the classes of ImageNet-21k",
}


def warnings(comparisons: Iterable[Comparison]) -> list[str]:
    """Return everything a careful reader would want to know before trusting the figures."""
    comparisons = list(comparisons)
    lines = _several_backbones(comparisons)
    for comparison in comparisons:
        lines += [_left_out(run) for run in comparison.unfinished]
        lines += disagreements(comparison)
        lines += _spread(comparison) + _times(comparison) + _pretraining(comparison) + _unlike_declared(comparison)
    return list(dict.fromkeys(lines))


def _several_backbones(comparisons: list[Comparison]) -> list[str]:
    lines = []
    for stream in dict.fromkeys(comparison.stream for comparison in comparisons):
        weights = {c.backbone: None for c in comparisons if c.stream == stream}
        if len(weights) > 1:
            names = ", ".join(sorted(f"{printable(w.name)} {short_hash(w.sha256)}" for w in weights))
            lines.append(
                f"{stream}: {len(weights)} backbones ({names}): separate tables, not compared with each other."
            )
    return lines


def _left_out(run: Run) -> str:
    done = run.matrix.num_rows if run.matrix else 0
    state = "stopped" if run.manifest.status == "stopped" else "is not finished"
    where = printable(quote(str(run.path / "recipe.toml")))
    progress = f"{state} after {done} of {plural(len(run.task_sizes), 'task')}"
    return f"{printable(run.method)} seed {run.seed} {progress}, left out. Fix: sdlora train {where}"


def disagreements(comparison: Comparison) -> list[str]:
    """Return what differs between entries although a fair comparison would have it equal."""
    lines = []
    for entry in comparison.entries:
        for run in entry.repeats:
            kept = next(other.path for other in entry.runs if other.seed == run.seed)
            path, first = printable(str(run.path)), printable(str(kept))
            lines.append(f"{path} repeats seed {run.seed} of {first}; only the latter counts.")
    orders: dict[int, set[str]] = {}
    for run in comparison.runs:
        orders.setdefault(run.seed, set()).add(run.manifest.stream.digest)
    if mixed := [str(seed) for seed, found in orders.items() if len(found) > 1]:
        lines.append(
            f"{comparison.stream}: data or class orders differ between methods for seed {listed(mixed)}; not paired."
        )
    seeds = {tuple(run.seed for run in entry.runs) for entry in comparison.entries}
    if len(seeds) > 1:
        lines.append(f"{comparison.stream}: not every method has every seed; differences use the seeds that both have.")
    return lines + _unequal_settings(comparison)


def _unequal_settings(comparison: Comparison) -> list[str]:
    """Compare what belongs to the protocol, not to a method: stream, data, input range and number format."""
    found: dict[str, dict[str, list[str]]] = {}
    for entry in comparison.ranked:
        manifest, settings = entry.runs[0].manifest, entry.runs[0].settings
        protocol = {key: value for key, value in settings.items() if key.startswith(("stream.", "data."))}
        protocol |= {key: settings.get(key) for key in INPUT_RANGE}
        for key, value in {**protocol, "dtype": manifest.dtype, "sdlora version": manifest.sdlora}.items():
            found.setdefault(key, {}).setdefault(printable(str(value)), []).append(entry.label)
    return [
        f"{comparison.stream}: {printable(key)} differs: "
        + "; ".join(f"{value} for {listed(labels)}" for value, labels in values.items())
        for key, values in found.items()
        if len(values) > 1
    ]


def _spread(comparison: Comparison) -> list[str]:
    single = [entry.label for entry in comparison.entries if len(entry.runs) == 1]
    return [f"{comparison.stream}: one seed for {listed(single)}: the spread is unknown."] if single else []


def _times(comparison: Comparison) -> list[str]:
    machines = {(str(run.manifest.hardware), run.manifest.device) for run in comparison.runs}
    what = f"{comparison.stream}: runs on different hardware: times are not compared fairly."
    return [what] if len(machines) > 1 else []


def _pretraining(comparison: Comparison) -> list[str]:
    datasets = {run.dataset for run in comparison.runs}
    known = [_SEEN_IN_PRETRAINING[name] for name in sorted(datasets) if name in _SEEN_IN_PRETRAINING]
    if known and any(tag in comparison.backbone.name for tag in ("in21k", "in1k")):
        return [f"{comparison.stream}: the backbone has seen these classes in pretraining: {known[0]}."]
    return []


def _unlike_declared(comparison: Comparison) -> list[str]:
    """Compare the three properties as they were measured with what the method says of itself."""
    lines = []
    for entry in comparison.entries:
        cost, facts = entry.cost, entry.facts
        if cost is None or facts is None:
            continue
        measured = {
            "rehearsal-free": (cost.rehearsal_free, facts.rehearsal_free),
            "one pass": (cost.one_pass, facts.one_pass),
            "end-to-end": (entry.end_to_end, facts.end_to_end),
        }
        for name, (found, declared) in measured.items():
            if found is not None and found != declared:
                said, seen = ("yes", "no") if declared else ("no", "yes")
                lines.append(f"{comparison.stream}: {entry.label} declares {said} for {name}, measured is {seen}.")
    return lines


def short_hash(sha256: str | None) -> str:
    """Return the first eight digits of a hash."""
    return printable(sha256[:8]) if sha256 else "unknown"
