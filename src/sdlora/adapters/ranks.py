"""Which rank the pair of a task has; rank reduction (SD-LoRA-RR) lowers it for later tasks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sdlora.errors import ConfigError

PAPER = ((4, 0.8), (8, 0.6))
"""Rank 10, from task 4 on 8, from task 8 on 6 (tasks from 0, as in the released code), as fractions of the first."""


@dataclass(frozen=True)
class RankSchedule:
    """A rank that changes at given tasks.

    Attributes:
        steps: (task, rank) in ascending order of tasks, the first for task 0; a rank holds until the next step.

    Example:
        >>> [RankSchedule.of(10, "paper").at(task) for task in (0, 3, 4, 7, 8, 20)]
        [10, 10, 8, 8, 6, 6]
    """

    steps: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, rank: int, reduction: str | Sequence[Sequence[int]] | None = None) -> RankSchedule:
        """Build a schedule from a first rank and its reduction.

        Args:
            rank: Rank from task 0 on.
            reduction: None; ``"paper"``, which is 0.8 of `rank` from task 4 on and 0.6 from task 8 on, rounded; or
                pairs [task, rank].

        Raises:
            ConfigError: If `reduction` is something else, or its tasks do not ascend from 1.
        """
        if reduction is None:
            return cls(((0, rank),))
        if reduction == "paper":
            return cls(((0, rank), *((task, max(1, round(share * rank))) for task, share in PAPER)))
        if isinstance(reduction, str) or any(len(step) != 2 for step in reduction):
            raise ConfigError(
                f"no rank schedule can be read from {reduction!r}",
                expected='"paper", or pairs such as [[4, 8], [8, 6]]',
            )
        steps = ((0, rank), *((task, later) for task, later in reduction))
        tasks = [task for task, _ in steps]
        if sorted(set(tasks)) != tasks:
            raise ConfigError(
                f"the rank schedule changes at tasks {tasks[1:]}", expected="ascending tasks from 1 on, each once"
            )
        return cls(steps)

    def at(self, task: int) -> int:
        """Return the rank of task `task`, counted from 0."""
        return [rank for first, rank in self.steps if first <= task][-1]
