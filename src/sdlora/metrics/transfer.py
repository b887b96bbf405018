"""Backward transfer: what learning the later tasks did to the earlier ones."""

from __future__ import annotations

from fractions import Fraction

from sdlora.metrics.matrix import AccuracyMatrix


def backward_transfer(matrix: AccuracyMatrix) -> float | None:
    """Return the mean over old tasks of the accuracy at the end, minus that just after training the task.

    BWT = 1/(N-1) sum_{j < N} A[N, j] - A[j, j]

    None for a single task and for joint training.
    Source: Lopez-Paz and Ranzato, Gradient Episodic Memory (NeurIPS 2017), eq. 3.
    """
    last = matrix.num_rows - 1
    changes = [matrix[last, j] - matrix[j, j] for j in range(last)]
    return float(sum(changes, Fraction(0)) / len(changes)) if changes else None
