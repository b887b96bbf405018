"""Which classes a method gets wrong after the last task, and what it takes them for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sdlora.reports.comparison import Entry
from sdlora.reports.text import percent, printable

SHOWN = 10


@dataclass(frozen=True)
class HardClass:
    """A class, over all runs that counted.

    Attributes:
        name: Of the class.
        accuracy: Share of its test images that got it.
        images: Test images, summed over runs.
    """

    name: str
    accuracy: float
    images: int


@dataclass(frozen=True)
class ConfusedPair:
    """Two classes, one taken for the other.

    Attributes:
        true: What the images show.
        predicted: What they are taken for.
        share: Of the test images of the true class.
        images: How many, summed over runs.
    """

    true: str
    predicted: str
    share: float
    images: int


@dataclass(frozen=True)
class ClassFindings:
    """The hardest classes and the most confused pairs, the worst first.

    Attributes:
        num_runs: Runs that counted.
        hardest: Up to ten.
        pairs: Up to ten.
    """

    num_runs: int
    hardest: tuple[HardClass, ...]
    pairs: tuple[ConfusedPair, ...]


def title_of_classes(found: Mapping[str, ClassFindings]) -> str:
    """Say in a sentence what the first method confuses most."""
    label, first = next(iter(found.items()))
    if not first.pairs:
        return f"{label} takes no class for another."
    worst = first.pairs[0]
    return f"{label} takes {percent(worst.share)} % of {worst.true} for {worst.predicted}."


def class_findings(entry: Entry) -> ClassFindings | None:
    """Sum the confusions of an entry's runs by name of class; None if none of its runs counted them."""
    counted = [run for run in entry.runs if run.confusion is not None]
    images: Counter[str] = Counter()
    taken: Counter[tuple[str, str]] = Counter()
    for run in counted:
        names = [printable(name) for name in run.manifest.stream.classes]
        for true, counts in zip(names, run.confusion or (), strict=True):
            images[true] += sum(counts)
            taken.update({(true, said): count for said, count in zip(names, counts, strict=True) if count})
    if not images.total():
        return None
    classes = [HardClass(name, taken[name, name] / count, count) for name, count in images.items() if count]
    pairs = [
        ConfusedPair(true, said, count / images[true], count) for (true, said), count in taken.items() if true != said
    ]
    return ClassFindings(
        len(counted),
        tuple(sorted(classes, key=lambda one: (one.accuracy, one.name))[:SHOWN]),
        tuple(sorted(pairs, key=lambda one: (-one.images, one.true, one.predicted))[:SHOWN]),
    )
