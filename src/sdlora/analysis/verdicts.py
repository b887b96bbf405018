"""The three findings of the paper as rules on numbers; docs/analysis.md gives their reasons.

Source: arXiv 2501.13198, figures 2, 3 and 4.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

Verdict = Literal["agrees", "disagrees", "undecided"]

CLEAR = 0.05  # a ratio that is off by less, or magnitudes that differ by less of their mean, say nothing
CLEAR_RESIDUAL = 0.01  # residuals that differ by less of the square norm say nothing
CORRELATION = 0.5  # a rank correlation below this is no trend
FEWEST = 3  # values below which there is no trend
KEPT, LOST = 0.05, 0.10  # drops in accuracy that count as none and as forgetting, fractions


@dataclass(frozen=True)
class Finding:
    """What a run says about one finding.

    Attributes:
        number: 1, 2 or 3.
        statement: The finding, in words.
        rule: When the run agrees and when not.
        numbers: What was measured; None for what this run does not have.
        summary: The numbers in a few words.
        verdict: Whether the run agrees.
    """

    number: int
    statement: str
    rule: str
    numbers: dict[str, Any]
    summary: str
    verdict: Verdict

    def to_dict(self) -> dict[str, Any]:
        """Return the finding as ``sdlora analyze --json`` prints it."""
        return asdict(self)


def closeness(gram: NDArray[np.float64]) -> Finding:
    """Judge finding 1 from the inner products of the updates W_t - W_0, (T, T)."""
    start = np.sqrt(np.diag(gram))  # |W_t - W_0|
    distances = np.sqrt(np.maximum(start[:, None] ** 2 + start[None] ** 2 - 2 * gram, 0))  # |W_i - W_j|
    pairs = np.triu_indices(len(gram), k=1)
    ratio = float(distances[pairs].mean() / start.mean())
    chance = _unrelated(np.array([start[0], *(distances[t - 1, t] for t in range(1, len(start)))]))
    verdict: Verdict = "undecided"
    if ratio <= (1 - CLEAR) * min(1.0, chance):
        verdict = "agrees"
    elif ratio >= (1 + CLEAR) * min(1.0, chance):
        verdict = "disagrees"
    scale = start.mean()
    others = (distances.sum(axis=1) / (len(start) - 1)).tolist()
    return Finding(
        1,
        "weights of tasks lie closer to each other than to the start",
        "agrees below 0.95 of the smaller of 1 and what steps of the same lengths in unrelated directions would give; "
        "disagrees above 1.05 of it",
        {
            "ratio": ratio,
            "ratio_of_unrelated_steps": chance,
            "distances_to_start": (start / scale).tolist(),
            "mean_distances_to_other_tasks": (np.array(others) / scale).tolist(),
        },
        f"{ratio:.2f} against 1.00 ({chance:.2f} by chance)",
        verdict,
    )


def _unrelated(steps: NDArray[np.float64]) -> float:
    """Return the ratio of closeness for steps of given lengths that are orthogonal to each other."""
    walked = np.concatenate([[0.0], np.cumsum(steps**2)])
    start = np.sqrt(walked[1:])
    first, second = np.triu_indices(len(steps), k=1)
    return float(np.sqrt(walked[second + 1] - walked[first + 1]).mean() / start.mean())


def importance(residuals: Sequence[float], magnitudes: Sequence[float] | None) -> Finding:
    """Judge finding 2.

    Args:
        residuals: Of each task's direction over the older ones, a fraction of its square norm; from the second task on.
        magnitudes: Of every task after the last one; None for a method that has none.
    """
    growth = trend(residuals, CLEAR_RESIDUAL)
    settled = list(magnitudes[:-1]) if magnitudes is not None else None  # the newest is in other units
    fall = trend(settled, CLEAR * abs(float(np.mean(settled)))) if settled else None
    verdict: Verdict = "undecided"
    if growth == "rises" and fall == "falls":
        verdict = "agrees"
    elif growth == "falls" or fall == "rises":
        verdict = "disagrees"
    arrow = f"{residuals[0]:.3f} -> {residuals[-1]:.3f}"
    shown = f", {settled[0]:.2f} -> {settled[-1]:.2f}" if settled else ", no magnitudes"
    return Finding(
        2,
        "residual of a new direction grows, magnitudes fall",
        "agrees if both trends are there, disagrees if one is the other way round; a trend is a rank correlation with "
        "the task of at least 0.5, over at least 3 tasks, of residuals more than 0.01 or magnitudes more than 5 % of "
        "their mean apart; the newest magnitude does not count",
        {
            "residuals": list(residuals),
            "magnitudes": None if magnitudes is None else list(magnitudes),
            "residual_trend": growth,
            "magnitude_trend": fall,
        },
        arrow + shown,
        verdict,
    )


def trend(values: Sequence[float], least: float) -> Literal["rises", "falls", "level"]:
    """Say whether values rise or fall in their order, or are level: too few, or all within `least`."""
    found = np.asarray(values, dtype=np.float64)
    if len(found) < FEWEST or np.ptp(found) <= least:
        return "level"
    correlation = np.corrcoef(rankdata(found), np.arange(len(found)))[0, 1]
    if abs(correlation) < CORRELATION:
        return "level"
    return "rises" if correlation > 0 else "falls"


def path(
    accuracies: Sequence[float], num_images: int, against: Sequence[float] | None = None, *, name: str = ""
) -> Finding:
    """Judge finding 3.

    Args:
        accuracies: On the first task's test images, along the straight line from the weights after task 1 to those
            after task 2.
        num_images: How many images those are.
        against: The same of another run on the same images, such as plain LoRA.
        name: What to call that other run.
    """
    drop = accuracies[0] - min(accuracies)
    verdict: Verdict = "agrees" if drop <= KEPT else "disagrees" if drop > LOST else "undecided"
    summary = f"drop {100 * drop:.1f} points"
    other = None
    if against is not None:
        other = against[0] - min(against)
        error = math.sqrt(sum(p * (1 - p) for run in (accuracies, against) for p in (run[0], min(run))) / num_images)
        gain = other - drop
        verdict = "agrees" if gain > 2 * error else "disagrees" if gain < -2 * error else "undecided"
        summary += f" ({name} {100 * other:.1f})"
    return Finding(
        3,
        "path from task 1 to task 2 keeps task 1",
        "alone: agrees if the accuracy on task 1 drops by at most 5 points on the way, disagrees above 10; against "
        "another run: agrees if it drops by less than there, disagrees if by more, by two standard errors",
        {
            "drop": drop,
            "drop_against": other,
            "num_images": num_images,
            "accuracies": list(accuracies),
            "accuracies_against": None if against is None else list(against),
        },
        summary,
        verdict,
    )
