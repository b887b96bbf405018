"""Reading and committing the generations of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from sdlora.bundle.config import BundleConfig, Description


@dataclass(frozen=True)
class Bundle:
    """One generation of a bundle, read whole and checked.

    Attributes:
        path: The folder, as it was given.
        config: What it says about itself.
        tensors: Adapters and head, from the bytes whose hash was checked; no file is mapped.
    """

    path: Path
    config: BundleConfig
    tensors: dict[str, Tensor]


def read_bundle(path: Path) -> Bundle:
    """Return the newest generation of a bundle; writes nothing and needs no lock.

    Raises:
        BundleError: If there is none, or it is damaged, or a newer sdlora wrote it; what, and what to do, is said.
        StorageError: If a file cannot be read.
    """
    raise NotImplementedError


def commit_lesson(
    path: Path, description: Description, tensors: Mapping[str, Tensor], *, parent_generation: int | None
) -> BundleConfig:
    """Add a generation to a bundle, or begin one; afterwards it is there whole, or not at all.

    Args:
        path: The folder; created when missing.
        description: What the learner says about itself.
        tensors: Adapters and head.
        parent_generation: The generation that this one follows, None to begin a bundle.

    Raises:
        BusyError: If another process holds the bundle, or changed it since `parent_generation` was read.
        BundleError: If a new bundle would have to go where something else is.
        StorageError: If a file cannot be written; the bundle is what it was.
    """
    raise NotImplementedError


def undo(path: Path) -> BundleConfig:
    """Go back to the state before the last lesson, as a new generation; works where the newest one is damaged.

    Returns:
        The generation that is now the newest.

    Raises:
        BundleError: If no earlier state is kept.
        BusyError: If another process holds the bundle.
        StorageError: If a file cannot be written.
    """
    raise NotImplementedError
