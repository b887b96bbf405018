"""One row for each method and stream, as ``sdlora report --json`` prints it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sdlora.metrics import aaa, acc, backward_transfer, forgetting, weighted_aaa, weighted_acc
from sdlora.reports.classes import class_findings
from sdlora.reports.comparison import Comparison, Entry, compare
from sdlora.reports.runs import Run
from sdlora.reports.spread import mean_std
from sdlora.reports.text import printable

METRICS = {
    "acc": acc,
    "aaa": aaa,
    "forgetting": forgetting,
    "bwt": backward_transfer,
    "weighted_acc": weighted_acc,
    "weighted_aaa": weighted_aaa,
}


def summarise(runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Return one row for each method and stream, best Acc first, joint training last.

    Accuracies are fractions, times seconds. A standard deviation is None for one seed, a mean None where the metric
    is not defined. Unfinished runs are not in any mean; their folders are listed. What nobody measured is None.
    """
    return [row(comparison, entry) | _classes(entry) for comparison in compare(runs) for entry in comparison.entries]


def row(comparison: Comparison, entry: Entry) -> dict[str, Any]:
    """Return the row of one entry."""
    values: dict[str, Any] = {
        "stream": comparison.stream,
        "recipe": printable(entry.runs[0].recipe_name or "") or None,
        "method": entry.label,
        "seeds": len(entry.runs),
    }
    for name, metric in METRICS.items():
        values[f"{name}_mean"], values[f"{name}_std"] = entry.mean_std(metric)
    values["seconds_mean"], values["seconds_std"] = mean_std(entry.seconds)
    unfinished = [printable(str(run.path)) for run in comparison.unfinished if run.method == entry.method]
    return values | {
        "trained_parameters": entry.last_logged("trained_parameters"),
        "stored_parameters": entry.last_logged("stored_parameters"),
        **_measured(entry),
        "seed_values": [run.seed for run in entry.runs],
        "unfinished": unfinished,
        "task_sizes": list(comparison.task_sizes),
        "backbone": printable(comparison.backbone.name),
        "backbone_sha256": printable(comparison.backbone.sha256 or "") or None,
        "stream_digests": [printable(run.manifest.stream.digest) for run in entry.runs],
        "is_joint": entry.is_joint,
    }


def _measured(entry: Entry) -> dict[str, Any]:
    """Return what was measured of the method, not what it declares; None where nobody measured."""
    cost = entry.cost
    return {
        "rehearsal_free": cost and cost.rehearsal_free,
        "one_pass": cost and cost.one_pass,
        "end_to_end": entry.end_to_end,
        "kept_bytes": cost and sum(cost.kept_bytes.values()),
        "passes": cost and cost.passes,
        "flops": cost and cost.flops,
        "flops_ratio": cost and cost.flops / cost.plain_flops,
        "time_ratio": entry.time_ratio,
    }


def _classes(entry: Entry) -> dict[str, Any]:
    found = class_findings(entry)
    return {
        "hardest_classes": found and [asdict(one) for one in found.hardest],
        "confused_pairs": found and [asdict(one) for one in found.pairs],
    }
