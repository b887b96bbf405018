"""Forgetting: how far accuracy on old tasks fell from its best."""

from __future__ import annotations

from fractions import Fraction

from sdlora.metrics.matrix import AccuracyMatrix


def forgetting_by_task(matrix: AccuracyMatrix) -> tuple[float, ...]:
    """Return for each task but the last its best accuracy before the end, minus that at the end.

    f_j = max_{j <= i < N} A[i, j] - A[N, j]

    Negative where the last task helped an old one. Empty for a single task and for joint training.
    Source: Chaudhry et al., Riemannian Walk (ECCV 2018), eq. 3.
    """
    return tuple(float(value) for value in _falls(matrix))


def forgetting(matrix: AccuracyMatrix) -> float | None:
    """Return the mean of `forgetting_by_task`, or None where there is no old task."""
    falls = _falls(matrix)
    return float(sum(falls, Fraction(0)) / len(falls)) if falls else None


def _falls(matrix: AccuracyMatrix) -> list[Fraction]:
    last = matrix.num_rows - 1
    return [max(matrix[i, j] for i in range(j, last)) - matrix[last, j] for j in range(last)]
