"""Whether a model is what was built from its blueprint: part by part, not only number by number.

Weights of the same names and shapes do not make the same function: an epsilon, an activation or a hook changes it too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

IDLE = ("Identity", "Dropout", "DropPath", "PatchDropout", "Dinov2DropPath")
"""Modules of the libraries that hand on what they are given, as a backbone never trains."""
LIBRARIES = ("torch", "timm", "transformers")
OF_TRAINING = {
    *("training", "weight_init_mode", "fix_init", "init_values", "grad_checkpointing", "gradient_checkpointing"),
    *("dropout", "attention_dropout", "feature_info", "num_classes", "num_labels", "name_or_path", "warnings_issued"),
}
"""Attributes that change nothing in what is computed."""
PLAIN = bool | int | float | str | torch.dtype | None


def difference(given: nn.Module, made: nn.Module) -> str | None:
    """Say in what a model is another one than that built from its blueprint, or return None if it is the same.

    Args:
        given: The model.
        made: What was built; its numbers are not looked at.
    """
    ours, theirs = (dict(model.named_modules(remove_duplicate=False)) for model in (given, made))
    if unknown := next((name for name in ours if name not in theirs), None):
        return f"its part {unknown}, a {type(ours[unknown]).__name__}, is none of those"
    if missing := next((name for name in theirs if name not in ours), None):
        return f"it has no part {missing}"
    if list(ours) != list(theirs):
        return "its parts are in another order"
    parts = ((name, part, theirs[name]) for name, part in ours.items())
    found = (what for name, part, other in parts for what in _differences(name, part, other))
    return next(found, None) or next(_tensors(given, made), None)


def _differences(name: str, part: nn.Module, other: nn.Module) -> Iterator[str]:
    place = f"its part {name}" if name else "it"
    for key, value in vars(part).items():
        if key.endswith("hooks") and len(value) > len(getattr(other, key, ())):
            yield f"{place} has a hook"
    if _is_idle(part) and _is_idle(other):
        return
    if type(part) is not type(other):
        yield f"{place} is a {type(part).__name__}, not the {type(other).__name__} of its library"
        return
    for key in sorted(vars(part).keys() | vars(other).keys()):
        if key in OF_TRAINING or key.startswith("_"):
            continue
        own, usual = getattr(part, key, ...), vars(other).get(key, ...)
        if usual is ... and hasattr(type(part), key):
            yield f"{place} has a {key} of its own"
        elif _is_plain(usual) and _as_plain(own) != _as_plain(usual):
            yield f"{place} has {key} = {own!r}, not {usual!r}"
        elif callable(usual) and not isinstance(usual, nn.Module) and own is not usual:
            yield f"{place} has a {key} of its own"


def _is_idle(part: nn.Module) -> bool:
    kind = type(part)
    return kind.__name__ in IDLE and kind.__module__.partition(".")[0] in LIBRARIES and "forward" not in vars(part)


def _tensors(given: nn.Module, made: nn.Module) -> Iterator[str]:
    ours, theirs = given.state_dict(), made.state_dict()
    for name in sorted(ours.keys() | theirs.keys()):
        own, other = (_shape(state.get(name)) for state in (ours, theirs))
        if own != other:
            yield f"{name} is {own}, not {other}"


def _shape(tensor: Any) -> str:
    if not isinstance(tensor, torch.Tensor):
        return "no tensor"
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _is_plain(value: Any) -> bool:
    return all(map(_is_plain, value)) if isinstance(value, tuple | list) else isinstance(value, PLAIN)


def _as_plain(value: Any) -> Any:
    return tuple(map(_as_plain, value)) if isinstance(value, tuple | list) else value
