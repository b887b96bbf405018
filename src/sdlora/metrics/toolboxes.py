"""What other toolboxes print as forgetting and transfer, so that old logs can be scored again.

One matrix, four answers: on the released log of SD-LoRA (ImageNet-R, 10 tasks) forgetting is 5.17 % here and in PILOT,
5.02 % in Avalanche, 5.00 % in LibContinual, and 6.11 % as the released code printed it. Each function below is what
the toolbox computes, oddities kept; none of them is used in a report.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import accumulate

from sdlora.metrics.matrix import AccuracyMatrix


def avalanche_forgetting(matrix: AccuracyMatrix) -> float | None:
    """Return Avalanche's ``StreamForgetting``: accuracy just after training a task minus that at the end.

    First minus last, not best minus last: minus the backward transfer. Mean over old tasks.
    """
    last = matrix.num_rows - 1
    return _mean([matrix[j, j] - matrix[last, j] for j in range(last)])


def pilot_forgetting(matrix: AccuracyMatrix) -> float | None:
    """Return what PILOT and Mammoth print: best minus last, where the last row may be the best.

    No task can come out negative, so an old task that gained is counted as unchanged. Mean over old tasks.
    """
    last = matrix.num_rows - 1
    return _mean([max(matrix[i, j] for i in range(j, last + 1)) - matrix[last, j] for j in range(last)])


mammoth_forgetting = pilot_forgetting


def released_sdlora_forgetting(matrix: AccuracyMatrix, classes_per_task: Sequence[int]) -> float | None:
    """Return what the released code of SD-LoRA prints: PILOT's, with groups sorted by name as text.

    Groups are called "00-19", "20-39", ..., "100-119", and the last one sorts before the second. So from 100 classes
    on, accuracies of different groups are subtracted from each other.
    """
    ends = list(accumulate(classes_per_task))
    names = [f"{end - size:02d}-{end - 1:02d}" for end, size in zip(ends, classes_per_task, strict=True)]
    rows = []
    for i in range(matrix.num_rows):
        order = sorted(range(i + 1), key=lambda j: names[j])
        rows.append([matrix[i, j] for j in order])
    last = matrix.num_rows - 1
    return _mean([max(rows[i][j] for i in range(j, last + 1)) - rows[last][j] for j in range(last)])


def libcontinual_forgetting(matrix: AccuracyMatrix) -> float:
    """Return LibContinual's ``compute_frgt``: first minus last, without the newest old task.

    The sum leaves out task N-1 but is divided by N-1, the number of all old tasks. 0 for fewer than three tasks.
    """
    last = matrix.num_rows - 1
    if last < 2:
        return 0.0
    return float(sum((matrix[j, j] - matrix[last, j] for j in range(last - 1)), Fraction(0)) / last)


def libcontinual_backward_transfer(matrix: AccuracyMatrix) -> float:
    """Return LibContinual's ``compute_bwt``: changes since training a task, after every later task but the next.

    Sum over i and j < i - 1 of A[i, j] - A[j, j], divided by N (N-1) / 2, the number of pairs with j < i. 0 for fewer
    than three tasks.
    """
    num_tasks = matrix.num_rows
    if num_tasks < 3:
        return 0.0
    changes = [matrix[i, j] - matrix[j, j] for i in range(2, num_tasks) for j in range(i - 1)]
    return float(sum(changes, Fraction(0)) / Fraction(num_tasks * (num_tasks - 1), 2))


def _mean(values: Sequence[Fraction]) -> float | None:
    return float(sum(values, Fraction(0)) / len(values)) if values else None
