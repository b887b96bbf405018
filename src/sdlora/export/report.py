"""What an export says of itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Check:
    """What became of generated images in the export and in sdlora.

    Attributes:
        against: What ran the export, with its version.
        quantity: What was compared: ``"logits"`` or ``"probabilities"``.
        num_images: Images compared.
        num_same: How many of them got the same class.
        difference: Largest difference; of logits as a fraction of the largest logit, if that is above 1.
        limit: Largest difference that passes.
    """

    against: str
    quantity: str
    num_images: int
    num_same: int
    difference: float
    limit: float

    @property
    def passed(self) -> bool:
        """Whether the export is what it should be."""
        return self.num_same == self.num_images and self.difference <= self.limit


@dataclass(frozen=True)
class ExportReport:
    """An export that was written and checked.

    Attributes:
        format: ``"timm"``, ``"peft"`` or ``"onnx"``.
        path: Its folder; ``NAME.failed`` if the check failed.
        files: Name of each file to its size, bytes.
        check: Whether it gives what sdlora gives.
        latency_ratio: Time for one image over that of the plain backbone, both in PyTorch on this machine, in turns.
        lines: How to feed it and what comes out, for people.
        next: A command or a line of Python that uses it.
    """

    format: str
    path: Path
    files: dict[str, int]
    check: Check
    latency_ratio: float
    lines: tuple[str, ...]
    next: str

    def to_dict(self) -> dict[str, Any]:
        """Return what ``sdlora export --json`` prints."""
        return {
            "format": self.format,
            "path": str(self.path),
            "files": self.files,
            "check": {**asdict(self.check), "passed": self.check.passed},
            "latency_ratio": self.latency_ratio,
            "next": self.next,
        }

    def text(self) -> str:
        """Return what ``sdlora export`` prints."""
        check = self.check
        sizes = ", ".join(f"{name} {_size(size)}" for name, size in self.files.items())
        return "\n".join(
            [
                f"Wrote {self.path}/: {sizes}",
                f"Check: {check.num_images} generated images, {check.against} against sdlora: same class "
                f"{check.num_same}/{check.num_images}, largest difference of {check.quantity} {check.difference:.1e} "
                f"(limit {check.limit:.0e})",
                f"Speed: {self.latency_ratio:.2f} times the plain backbone (time for one image, in turns)",
                *self.lines,
                f"Next: {self.next}",
            ]
        )


def _size(count: int) -> str:
    return f"{count / 1e6:.0f} MB" if count >= 1e6 else f"{count / 1e3:.0f} kB" if count >= 1e3 else f"{count} B"
