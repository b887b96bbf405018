"""Putting adapters into any module, and taking them out.

A target is the end of a layer's dotted name, such as ``"query"``, ``"attn.proj"`` or ``"mlp.fc1"``; ``*``, ``?`` and
``[...]`` match as in file names (and ``*`` matches dots too), so ``"blocks.[0-4].attn.proj"`` names five layers. With
``":q"``, ``":k"`` or ``":v"`` behind it, it means that third of the rows of a fused projection: ``"qkv:q"``. In a model
that keeps the three apart, ``"qkv:q"`` is the layer ``"q_proj"`` or ``"query"``, and so for k and v.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import TypeVar

from torch import nn

from sdlora.adapters.adapter import LinearAdapter
from sdlora.adapters.folded import Rows
from sdlora.errors import ConfigError

A = TypeVar("A", bound=LinearAdapter)

THIRDS = ("q", "k", "v")
FUSED = "qkv"
APART = {"q": ("q_proj", "query"), "k": ("k_proj", "key"), "v": ("v_proj", "value")}
"""What the layers are called that stand for the thirds of a fused one."""

WHOLE = "all"
"""Name of the slice when all rows of a layer are adapted."""


def find_targets(model: nn.Module, targets: Sequence[str]) -> dict[str, tuple[nn.Linear, dict[str, Rows]]]:
    """Find the layers that `targets` name.

    Only layers whose type is exactly `torch.nn.Linear` count: a subclass may compute something else. A layer that
    occurs in several places is found once, by any of its names, and listed under the first.

    Args:
        model: Where to look.
        targets: What to look for, see the top of this module.

    Returns:
        Dotted name to the layer and its adapted slices, in the order of the model.

    Raises:
        ConfigError: If a target matches nothing, a part does not exist, or two targets mean the same rows.
    """
    places: dict[nn.Linear, list[str]] = {}
    for name, module in model.named_modules(remove_duplicate=False):
        if type(module) is nn.Linear and name:
            places.setdefault(module, []).append(name)
    found: dict[nn.Linear, dict[str, Rows]] = {}
    for target in targets:
        pattern, _, part = target.partition(":")
        matching = _matching(places, pattern)
        if not matching and pattern.endswith(FUSED) and part in APART:
            stem = pattern.removesuffix(FUSED)
            matching, part = [linear for name in APART[part] for linear in _matching(places, stem + name)], ""
        if not matching:
            raise ConfigError(f'no linear layer is called "{target}"', expected=_what_there_is(places))
        for linear in matching:
            name, slices = places[linear][0], found.setdefault(linear, {})
            if slices.keys() & {part or WHOLE, WHOLE} or (slices and not part):
                raise ConfigError(f'two targets mean the same rows of layer {name}, one of them "{target}"')
            slices[part or WHOLE] = _rows(name, linear, part)
    return {names[0]: (linear, found[linear]) for linear, names in places.items() if linear in found}


def inject(model: nn.Module, targets: Sequence[str], make: Callable[[nn.Linear, dict[str, Rows]], A]) -> dict[str, A]:
    """Replace the target layers of `model` in place.

    Args:
        model: Any module.
        targets: Which layers, see `find_targets`.
        make: Builds the adapter of a layer from the layer and its slices.

    Returns:
        Dotted name to adapter, in the order of the model.

    Raises:
        ConfigError: As `find_targets`; or if there is no target, or the model holds adapters already.
    """
    if adapters_of(model):
        raise ConfigError("the model holds adapters already", fix="remove(model) first")
    if not targets:
        raise ConfigError("no target layers are given", expected='names such as "qkv:q", "attn.proj"')
    adapters = {name: make(linear, rows) for name, (linear, rows) in find_targets(model, targets).items()}
    replace_(model, {adapter.base: adapter for adapter in adapters.values()})
    return adapters


def adapters_of(model: nn.Module) -> dict[str, LinearAdapter]:
    """Return the adapters in `model` by dotted name."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LinearAdapter)}


def remove(model: nn.Module) -> None:
    """Take all adapters out of `model` in place; the very same layers as before stand in their places, frozen."""
    replace_(model, {adapter: adapter.base for adapter in adapters_of(model).values()})


def replace_(model: nn.Module, new: Mapping[nn.Module, nn.Module]) -> None:
    """Put ``new[module]`` into every place of `model` that holds a module of `new`.

    Raises:
        ConfigError: If the model itself would have to be replaced.
    """
    if model in new:
        raise ConfigError("the model itself is the layer to replace", fix="wrap it, such as in nn.Sequential")
    for name, module in list(model.named_modules(remove_duplicate=False)):
        if module in new:
            model.set_submodule(name, new[module])


def _rows(name: str, linear: nn.Linear, part: str) -> Rows:
    if not part:
        return 0, linear.out_features
    if part not in THIRDS or linear.out_features % 3:
        raise ConfigError(
            f'layer {name} ({linear.in_features} -> {linear.out_features}) has no part "{part}"',
            expected=f"one of {', '.join(THIRDS)}, of a layer whose rows are q, k and v in equal parts",
        )
    size = linear.out_features // 3
    return THIRDS.index(part) * size, (THIRDS.index(part) + 1) * size


def _matching(places: Mapping[nn.Linear, Sequence[str]], pattern: str) -> list[nn.Linear]:
    return [linear for linear, names in places.items() if any(_matches(name, pattern) for name in names)]


def _matches(name: str, pattern: str) -> bool:
    return fnmatchcase(name, pattern) or fnmatchcase(name, f"*.{pattern}")


def _what_there_is(places: Mapping[nn.Linear, list[str]]) -> str:
    kinds = Counter(
        f"{re.sub(r'(?<![^.])[0-9]+(?![^.])', '*', names[0])} ({linear.in_features} -> {linear.out_features})"
        for linear, names in places.items()
    )
    if not kinds:
        return "a model with layers of type torch.nn.Linear; there are none"
    return "the end of one of these names: " + ", ".join(f"{kind} x {count}" for kind, count in kinds.items())
