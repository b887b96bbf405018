"""Which images of the data are learned, which are held out, and which classes are new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from sdlora.bundle.names import case_twins
from sdlora.datasets.base import AugmentOptions
from sdlora.datasets.holdout import hold_out
from sdlora.errors import ConfigError, DataError
from sdlora.learner.data import LabelledImages
from sdlora.streams import TaskSplit

NAMED = 10  # of many known classes, how many an error names


@dataclass(frozen=True)
class Plan:
    """What a lesson does with its data.

    Attributes:
        new: Classes that the learner does not know yet, in the order of the data.
        known: Classes that it knows and is to be taught again.
        train: Images of new classes to learn from; labels are outputs of the model.
        held_out: Images of all these classes to measure with.
        refresh: Images of known classes to learn from.
    """

    new: tuple[str, ...]
    known: tuple[str, ...]
    train: TaskSplit
    held_out: TaskSplit
    refresh: TaskSplit

    @property
    def num_images(self) -> int:
        """Images in all."""
        return len(self.train) + len(self.held_out) + len(self.refresh)


def plan_lesson(
    data: LabelledImages,
    classes: Sequence[str],
    augment: AugmentOptions,
    *,
    holdout: float,
    update: bool = False,
    skip_known: bool = False,
) -> Plan:
    """Divide the data.

    Args:
        data: What is to be learned.
        classes: What the learner knows.
        augment: How images become squares.
        holdout: Share of each class to hold out, where the data set nothing aside themselves.
        update: Teach known classes again.
        skip_known: Leave known classes out.

    Raises:
        DataError: If there is a known class and neither was chosen, a name differs from a known one in case only, or
            there is nothing to learn.
        ConfigError: If `holdout` is no fraction below 1, or both choices were made.
    """
    if not 0 <= holdout < 1:
        raise ConfigError(f"holdout = {holdout}", expected="a fraction, from 0 to below 1")
    if update and skip_known:
        raise ConfigError("known classes cannot be taught again and left out", expected="--update or --skip-known")
    if twins := case_twins(data.classes, classes):
        pairs = ", ".join(f'"{name}" and the known "{twin}"' for name, twin in twins.items())
        raise DataError(
            f"{pairs} differ in case only", expected="the exact name, or another one", fix="rename the folder"
        )
    known = tuple(name for name in data.classes if name in classes)
    new = tuple(name for name in data.classes if name not in classes)
    if known and not (update or skip_known):
        raise DataError(
            f"already known: {_listed(known)}",
            expected="new names only",
            fix="take those folders out, rename them, --skip-known, or --update to teach them again",
        )
    if not new and not (known and update):
        raise DataError(
            f"{data.name} holds no new class", expected="at least one", fix="--update to teach known ones again"
        )
    if len(classes) + len(new) < 2:
        raise DataError(f"{data.name} holds one class", expected="two or more in the first lesson")
    outputs = [*classes, *new]
    ids = np.array([outputs.index(name) for name in data.classes], dtype=np.int64)[data.labels]
    is_test = hold_out(data.labels, holdout) if data.is_test is None else data.is_test
    is_new, is_known = ids >= len(classes), np.isin(ids, [outputs.index(name) for name in known]) & update

    def split(chosen: NDArray[np.bool_]) -> TaskSplit:
        rows = np.flatnonzero(chosen)
        return TaskSplit(data.images, rows, ids[rows], augment)

    return Plan(
        new=new,
        known=known if update else (),
        train=split(is_new & ~is_test),
        held_out=split((is_new | is_known) & is_test),
        refresh=split(is_known & ~is_test),
    )


def _listed(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
