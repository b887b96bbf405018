"""What a method keeps of old data, read off its state."""

from __future__ import annotations

from fnmatch import fnmatchcase

from torch import Tensor

from sdlora.methods.base import Method, Origin

KEPT: tuple[Origin, ...] = ("samples", "features", "statistics")
"""All that `Method.from_data` may name, but ``"weights"``, which are the model."""


def origin_of(method: Method, name: str) -> Origin | None:
    """Return what a state entry was computed from data as; None if gradients alone gave it its value."""
    return next((origin for glob, origin in method.from_data.items() if fnmatchcase(name, glob)), None)


def kept_bytes(method: Method) -> dict[Origin, int]:
    """Return the bytes of state kept from old data, by kind; room that is not filled yet counts too."""
    return {kind: sum(t.numel() * t.element_size() for t in _entries(method, kind)) for kind in KEPT}


def kept_numbers(method: Method) -> int:
    """Return how many numbers of state are kept from old data; room that is not filled yet counts too."""
    return sum(tensor.numel() for kind in KEPT for tensor in _entries(method, kind))


def _entries(method: Method, kind: Origin) -> list[Tensor]:
    return [tensor for name, tensor in method.state_dict().items() if origin_of(method, name) == kind]
