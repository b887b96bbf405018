"""The accuracy matrix: after each task, how many test images of each group were right, as integers.

    A[i, j] = hits[i][j] / totals[i][j]        accuracy on group j after training task i, j <= i

Everything else in this package is a function of it. Counts are kept and fractions are exact, so a metric does not
depend on the order of images, on batch sizes or on rounding. A log that multiplies a batch's rounded accuracy by the
batch size and truncates loses images: int(29 / 100 * 100) is 28.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from sdlora.errors import DataError

Row = tuple[int, ...]


@dataclass(frozen=True)
class AccuracyMatrix:
    """Right answers and images, one row for each training task, one column for each group of test images.

    Row i has i + 1 groups. A method that trains all tasks at once has one row over all groups.

    Attributes:
        hits: Right answers.
        totals: Test images; the same in every row of a column.

    Raises:
        DataError: If the counts are not those of a stream.

    Example:
        >>> matrix = AccuracyMatrix(hits=((9,), (6, 8)), totals=((10,), (10, 10)))
        >>> matrix[1, 0]
        Fraction(3, 5)
    """

    hits: tuple[Row, ...]
    totals: tuple[Row, ...]

    def __post_init__(self) -> None:
        _check_shape(self.hits, self.totals)
        for i, (hits, totals) in enumerate(zip(self.hits, self.totals, strict=True)):
            for j, (hit, total) in enumerate(zip(hits, totals, strict=True)):
                if not 0 <= hit <= total or total == 0:
                    raise DataError(
                        f"after task {i + 1}, group {j + 1} has {hit} hits among {total} images",
                        expected="at least one image, and hits from 0 to the number of images",
                    )
                if total != (first := self.totals[-1][j]):
                    raise DataError(
                        f"group {j + 1} has {total} images after task {i + 1} and {first} after the last",
                        expected="the same test images after every task",
                    )

    @classmethod
    def from_rows(cls, hits: Sequence[Sequence[int | None]], totals: Sequence[Sequence[int | None]]) -> AccuracyMatrix:
        """Build from rows in which groups not seen yet are None or absent, as in ``matrix.json``."""
        return cls(tuple(_seen(row) for row in hits), tuple(_seen(row) for row in totals))

    @classmethod
    def from_percent(cls, rows: Sequence[Sequence[str | float]]) -> AccuracyMatrix:
        """Build from accuracies in percent as an old log printed them, up to four decimals.

        The log does not say how many images there were, so every group counts as 1,000,000: of the result, only
        metrics that give each group the same weight mean anything.

        Example:
            >>> float(AccuracyMatrix.from_percent([[89.24], [86.97, "86.60"]])[1, 1])
            0.866
        """
        hits = [[Decimal(str(value)) * 10_000 for value in row] for row in rows]
        if any(value != int(value) for row in hits for value in row):
            raise DataError("an accuracy has more than four decimals", expected="percentages as printed, such as 89.24")
        return cls(
            tuple(tuple(int(value) for value in row) for row in hits),
            tuple((1_000_000,) * len(row) for row in hits),
        )

    def __getitem__(self, place: tuple[int, int]) -> Fraction:
        i, j = place
        return Fraction(self.hits[i][j], self.totals[i][j])

    @property
    def num_rows(self) -> int:
        """Training tasks that were followed by a test."""
        return len(self.hits)

    @property
    def num_groups(self) -> int:
        """Groups of test images seen in the last row."""
        return len(self.hits[-1])

    @property
    def is_joint(self) -> bool:
        """Whether one training task covered several groups, so that there is no course over tasks."""
        return self.num_rows == 1 and self.num_groups > 1

    def row(self, i: int) -> tuple[Fraction, ...]:
        """Return the accuracies on all groups seen after task i."""
        return tuple(Fraction(hit, total) for hit, total in zip(self.hits[i], self.totals[i], strict=True))


def count_row(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], classes_per_task: Sequence[int]
) -> tuple[Row, Row]:
    """Count one row of the matrix from what was predicted for a set of test images.

    Args:
        predicted: (N,) class ids.
        labels: (N,) true class ids, in order of arrival.
        classes_per_task: Number of classes in each task seen.

    Returns:
        Hits and totals of each group.
    """
    group = np.searchsorted(np.cumsum(classes_per_task), labels, side="right")
    num_groups = len(classes_per_task)
    if labels.size and not 0 <= labels.min() <= labels.max() < sum(classes_per_task):
        raise DataError(
            f"labels run from {labels.min()} to {labels.max()}", expected=f"ids below {sum(classes_per_task)}"
        )
    hits = np.bincount(group[predicted == labels], minlength=num_groups)
    totals = np.bincount(group, minlength=num_groups)
    return tuple(hits.tolist()), tuple(totals.tolist())


def _seen(row: Sequence[int | None]) -> Row:
    """Drop the groups not seen yet from the end of a row."""
    end = len(row)
    while end and row[end - 1] is None:
        end -= 1
    if any(value is None for value in row[:end]):
        raise DataError(f"the row {list(row)} has a gap", expected="null only for groups not seen yet")
    return tuple(operator.index(value) for value in row[:end] if value is not None)


def _check_shape(hits: Sequence[Row], totals: Sequence[Row]) -> None:
    """Refuse anything but a lower triangle, or one row of any length."""
    lengths = [len(row) for row in hits]
    if lengths != [len(row) for row in totals]:
        raise DataError(f"rows of hits have {lengths} groups, rows of totals {[len(row) for row in totals]}")
    is_triangle = lengths == list(range(1, len(lengths) + 1))
    is_joint = len(lengths) == 1 and lengths[0] > 0
    if not lengths or not (is_triangle or is_joint):
        raise DataError(
            f"rows have {lengths} groups",
            expected="1, 2, 3, ... groups after each task, or one row over all groups",
        )
