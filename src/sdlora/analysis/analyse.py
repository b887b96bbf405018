"""From one run, or two, to the three findings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdlora.analysis.trajectory import Trajectory
from sdlora.analysis.verdicts import Finding, closeness, importance, path
from sdlora.errors import RunError
from sdlora.reports import Run


@dataclass(frozen=True)
class Analysis:
    """What a run says about the paper's findings.

    Attributes:
        run: The run.
        against: The run it was compared with, or None.
        findings: One for each of the three.
    """

    run: Run
    against: Run | None
    findings: tuple[Finding, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the analysis as ``sdlora analyze --json`` prints it."""
        return {
            "run": str(self.run.path),
            "against": None if self.against is None else str(self.against.path),
            "method": self.run.method,
            "num_tasks": len(self.run.task_sizes),
            "findings": [finding.to_dict() for finding in self.findings],
        }


def analyse(folder: Path, against: Path | None = None, *, device: str = "auto") -> Analysis:
    """Measure the three findings on a run.

    Args:
        folder: A finished run that kept its weights after each task.
        against: Another one on the same stream and backbone, for finding 3.
        device: Where the path between tasks is tested.

    Raises:
        RunError: If a run is not finished, kept no weights, or the two cannot be compared.
        DataError: If the data are not there.
    """
    found = Trajectory.load(folder)
    gram = found.gram()
    if not gram.trace():
        raise RunError(
            f"the weights of {folder} never moved, so there is no path to judge",
            expected="tasks of two classes or more",
        )
    first = closeness(gram)
    second = importance(found.residuals(), found.magnitudes())
    accuracies, num_images = found.accuracies_on_the_way(device)
    if against is None:
        return Analysis(found.run, None, (first, second, path(accuracies, num_images)))
    other = Trajectory.load(against)
    _check_comparable(found.run, other.run)
    reference, _ = other.accuracies_on_the_way(device)
    third = path(accuracies, num_images, reference, name=other.run.method)
    return Analysis(found.run, other.run, (first, second, third))


def _check_comparable(run: Run, other: Run) -> None:
    ours, theirs = run.manifest, other.manifest
    for what, here, there in (
        ("data or class order", ours.stream.digest, theirs.stream.digest),
        ("backbone", ours.backbone.sha256, theirs.backbone.sha256),
    ):
        if here != there:
            raise RunError(
                f"{run.path} and {other.path} differ in {what}", expected="two runs of one stream, seed and backbone"
            )
