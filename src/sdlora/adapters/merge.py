"""Folding what adapters learned into plain layers, and undoing it.

A merged model has the module types of the model before injection and computes what the adapted one computes: the same
fold, done once. No weight is ever edited in place, so undoing it restores the bits of W0.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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


@contextmanager
def merged(model: nn.Module) -> Iterator[None]:
    """Keep `model` merged within the ``with`` block: the fold is done once, however many batches come.

    Its state is that of a plain model meanwhile, so nothing may be stored.

    Raises:
        ConfigError: If the model itself is an adapter.
    """
    adapters = merge_(model)
    try:
        yield
    finally:
        unmerge_(model, adapters)


def merge(model: M) -> M:
    """Return a merged copy of `model`, which stays as it is.

    Raises:
        ConfigError: If the model itself is an adapter.
    """
    with merged(model):
        return copy.deepcopy(model)
