"""Reading a bundle: needs no lock and writes nothing.

    NAME/history/<generation>.json        what the generation is; creating this file was the commit
         model-<16 hex>.safetensors       adapters and head, named by their sha256
         base-<16 hex>.safetensors        the backbone where no name leads to it, named by its sha256
         config.json                      a copy of the newest generation, for people
         README.md                        the model card

The highest generation counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from torch import Tensor

from sdlora.bundle.base import read_base
from sdlora.bundle.config import BundleConfig
from sdlora.bundle.history import check_file, damage, generations, newest, read_document
from sdlora.bundle.weights import read_weights
from sdlora.errors import BundleError, BusyError
from sdlora.files import digest, read_bytes

TRIES = 100  # a reader that comes between two commits finds swept files, and looks again

T = TypeVar("T")


@dataclass(frozen=True)
class Bundle:
    """One generation of a bundle, read whole and checked.

    Attributes:
        path: The folder, as it was given.
        config: What it says about itself.
        tensors: Adapters and head, from the bytes whose hash was checked; no file is mapped.
        base: Weights of the backbone, likewise; None where a name leads to it.
    """

    path: Path
    config: BundleConfig
    tensors: dict[str, Tensor]
    base: dict[str, Tensor] | None = None


def is_bundle(path: Path) -> bool:
    """Whether a folder holds a generation, damaged or not."""
    return bool(generations(path))


def read_bundle(path: Path) -> Bundle:
    """Return the newest generation of a bundle; writes nothing and needs no lock.

    Raises:
        BundleError: If there is none, or it is damaged, or a newer sdlora wrote it; what, and what to do, is said.
        StorageError: If a file cannot be read.
    """
    return _of_newest(path, read_generation)


def read_config(path: Path) -> BundleConfig:
    """Return what the newest generation says about itself; its tensors are not looked at.

    Raises:
        BundleError: If there is none, or it is damaged, or a newer sdlora wrote it.
        StorageError: If it cannot be read.
    """
    return _of_newest(path, read_document)


def read_generation(path: Path, number: int) -> Bundle:
    """Return one of the generations that a bundle keeps.

    Raises:
        BundleError: If it is missing, damaged, or a newer sdlora wrote it.
        StorageError: If a file cannot be read.
    """
    config = read_document(path, number)
    file, weights = path / config.weights.file, config.weights
    with damage(path, number):
        check_file(file, weights.size)
        data = read_bytes(file)
        if digest(data) != weights.sha256:
            raise ValueError(f"{file} has sha256 {digest(data)[:8]}, not {weights.sha256[:8]}")
        try:
            tensors = read_weights(data)
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error
    base = config.backbone.base
    return Bundle(path, config, tensors, None if base is None else read_base(path, base))


def _of_newest(path: Path, read: Callable[[Path, int], T]) -> T:
    """Return what `read` makes of the newest generation; where that is swept meanwhile, look again."""
    number = newest(path)
    for _ in range(TRIES):
        try:
            return read(path, number)
        except BundleError:
            before, number = number, newest(path)
            if number == before:
                raise
    raise BusyError(f"{path} changes faster than it can be read", fix="try again")
