"""Accuracy over the classes seen, after the last task and on the way there.

Two averages are in use. The paper's gives every task the same weight; the code released with it, like InfLoRA's,
gives every image the same weight. They differ when groups differ in size, as on ImageNet-R, ImageNet-A and DomainNet.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

from sdlora.metrics.matrix import AccuracyMatrix


def accuracy_after_each_task(matrix: AccuracyMatrix) -> tuple[float, ...]:
    """Return the mean over groups of the accuracy after each task: the curve whose end is Acc."""
    return tuple(float(_task_mean(matrix, i)) for i in range(matrix.num_rows))


def acc(matrix: AccuracyMatrix) -> float:
    """Return Acc: after the last task, the mean over groups of the accuracy.

    Acc = 1/N sum_j A[N, j]        Source: arXiv 2501.13198, section 4.
    """
    return float(_task_mean(matrix, -1))


def aaa(matrix: AccuracyMatrix) -> float | None:
    """Return AAA, average anytime accuracy: the mean over tasks of the mean accuracy so far.

    AAA = 1/N sum_i 1/i sum_{j <= i} A[i, j]        Source: arXiv 2501.13198, section 4.

    None for joint training, which has no time.
    """
    return _mean_or_none(matrix, [_task_mean(matrix, i) for i in range(matrix.num_rows)])


def weighted_accuracy_after_each_task(matrix: AccuracyMatrix) -> tuple[float, ...]:
    """Return the share of all test images seen that are right, after each task."""
    return tuple(float(_sample_mean(matrix, i)) for i in range(matrix.num_rows))


def weighted_acc(matrix: AccuracyMatrix) -> float:
    """Return the share of all test images that are right after the last task: Acc with one weight an image."""
    return float(_sample_mean(matrix, -1))


def weighted_aaa(matrix: AccuracyMatrix) -> float | None:
    """Return the mean of `weighted_accuracy_after_each_task`; None for joint training."""
    return _mean_or_none(matrix, [_sample_mean(matrix, i) for i in range(matrix.num_rows)])


def _task_mean(matrix: AccuracyMatrix, i: int) -> Fraction:
    row = matrix.row(i)
    return sum(row, Fraction(0)) / len(row)


def _sample_mean(matrix: AccuracyMatrix, i: int) -> Fraction:
    return Fraction(sum(matrix.hits[i]), sum(matrix.totals[i]))


def _mean_or_none(matrix: AccuracyMatrix, values: Sequence[Fraction]) -> float | None:
    return None if matrix.is_joint else float(sum(values, Fraction(0)) / len(values))
