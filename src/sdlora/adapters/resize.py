"""Loading state whose number of rows depends on what was learned."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn


def adopt_shapes_(module: nn.Module, stored: Mapping[str, Tensor], prefix: str, resizable: Mapping[str, int]) -> None:
    """Give tensors of `module` the sizes they have in `stored`, along one dimension each; the rest stays strict.

    Call it in ``_load_from_state_dict`` before the tensors are copied. An empty parameter does not learn.

    Args:
        module: Owner of the tensors.
        stored: The state dict.
        prefix: Of the module's keys in it.
        resizable: Name of each tensor to the one dimension that may change.
    """
    for name, dim in resizable.items():
        own, new = getattr(module, name), stored.get(prefix + name)
        if new is None or new.ndim != own.ndim or new.shape[dim] == own.shape[dim]:
            continue
        shape = list(own.shape)
        shape[dim] = new.shape[dim]
        resized = own.new_empty(shape)
        if isinstance(own, nn.Parameter):
            resized = nn.Parameter(resized, requires_grad=own.requires_grad and resized.numel() > 0)
        setattr(module, name, resized)
