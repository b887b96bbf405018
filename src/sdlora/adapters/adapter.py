"""What an adapter of a linear layer is: the frozen layer, and low-rank updates of named slices of its rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sdlora.adapters.folded import Factor, Rows, fold, folded_linear


class LinearAdapter(nn.Module, ABC):
    """A frozen Linear whose weight is updated on the fly; abstract, and every concrete adapter is final.

    The base stays an untouched submodule: its weight is never edited, so taking the adapter away is exact. It is read,
    not called, so hooks belong on the adapter.

    Args:
        base: Layer to adapt, weight (D_out, D_in); it is frozen.
        rows: Name of each adapted slice of the output to its first row and one past its last row.

    Shape:
        Input (..., D_in), output (..., D_out).
    """

    def __init__(self, base: nn.Linear, rows: Mapping[str, Rows]) -> None:
        super().__init__()
        self.base = base.requires_grad_(False)
        self.rows = dict(rows)
        self.train(base.training)

    @abstractmethod
    def factors(self) -> list[Factor]:
        """Return what is added to the base weight now, with gradients to whatever learns."""

    def forward(self, x: Tensor) -> Tensor:
        return folded_linear(x, self.base.weight, self.base.bias, self.factors())

    def merged(self) -> nn.Linear:
        """Return a new plain Linear that computes the same; it shares the base's bias."""
        base, weight = self.base, fold(self.base.weight, self.factors()).to(self.base.weight.dtype)
        linear = nn.Linear(base.in_features, base.out_features, bias=base.bias is not None, device="meta")
        linear.weight, linear.bias = nn.Parameter(weight, requires_grad=False), base.bias
        return linear.train(self.training)


def parameter_dtype(base: nn.Linear) -> torch.dtype:
    """Return the type in which an adapter of `base` learns: the base's own, but float32 at least."""
    return torch.promote_types(base.weight.dtype, torch.float32)
