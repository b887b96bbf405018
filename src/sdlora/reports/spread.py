"""Mean, spread, and whether a difference is more than noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scipy.special import stdtrit

CONFIDENCE = 0.95


def mean_std(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Return the mean and the sample standard deviation (n - 1); None where there are too few values."""
    if not values:
        return None, None
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return mean, None
    return mean, math.sqrt(math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1))


@dataclass(frozen=True)
class Difference:
    """A mean of paired differences with its t-interval.

    Attributes:
        mean: First minus second, mean over pairs.
        low: Lower end of the 95 % interval, or None for one pair.
        high: Upper end.
        num_pairs: Seeds that both have.
    """

    mean: float
    low: float | None
    high: float | None
    num_pairs: int

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low is not None and self.high is not None and (self.low > 0 or self.high < 0)


def paired_difference(first: Mapping[int, float], second: Mapping[int, float]) -> Difference | None:
    """Compare two methods on the seeds they share; None if there is none.

        mean(d) +- t_{n-1, 0.975} std(d) / sqrt(n)

    A pair shares seed and class order, so what is common to both cancels. The interval is for this one pair of
    methods: of twenty such intervals about one misses its mark.

    Args:
        first: Value by seed, as a fraction.
        second: The same for the other method.
    """
    gaps = [first[seed] - second[seed] for seed in sorted(first.keys() & second.keys())]
    mean, std = mean_std(gaps)
    if mean is None:
        return None
    if std is None:
        return Difference(mean, None, None, 1)
    half = float(stdtrit(len(gaps) - 1, (1 + CONFIDENCE) / 2)) * std / math.sqrt(len(gaps))
    return Difference(mean, mean - half, mean + half, len(gaps))
