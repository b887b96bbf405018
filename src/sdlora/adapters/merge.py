"""Folding what adapters learned into plain layers, and undoing it.

A merged model has the module types of the model before injection and computes what the adapted one computes: the same
fold, done once. No weight is ever edited in place, so undoing it restores the bits of W0.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TypeVar

from torch import nn

from sdlora.adapters.adapter import LinearAdapter
from sdlora.adapters.inject import adapters_of, replace_

M = TypeVar("M", bound=nn.Module)


def merge_(model: nn.Module) -> dict[str, LinearAdapter]:
    """Replace every adapter of `model` by a plain Linear that computes the same, in place.

    Returns:
        The adapters by dotted name, for `unmerge_`.

    Raises:
        ConfigError: If the model itself is an adapter.
    """
    adapters = adapters_of(model)
    replace_(model, {adapter: adapter.merged() for adapter in adapters.values()})
    return adapters


def unmerge_(model: nn.Module, adapters: Mapping[str, LinearAdapter]) -> None:
    """Put back the adapters that `merge_` returned, in place."""
    replace_(model, {model.get_submodule(name): adapter for name, adapter in adapters.items()})


def merge(model: M) -> M:
    """Return a merged copy of `model`, which stays as it is.

    Raises:
        ConfigError: If the model itself is an adapter.
    """
    adapters = merge_(model)
    try:
        return copy.deepcopy(model)
    finally:
        unmerge_(model, adapters)
