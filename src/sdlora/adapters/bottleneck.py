"""Small two-layer networks beside the MLP of every transformer block.

    x1 = x + Attn(LN1 x),   out = x1 + MLP(LN2 x1) + a(x1),   a(x) = 0.1 Up(Drop(ReLU(Down x)))

The adapter sees the residual stream as it is, before the norm. Several adapters may live in a block; one is active at
a time, the newest unless `using` says otherwise.

Letters: N batch, L tokens, D width of the stream, H width of the adapter.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdlora.errors import ConfigError

_ACTIVE: ContextVar[int] = ContextVar("active", default=-1)  # context variables: requests in threads do not mix
_DROPOUT: ContextVar[bool] = ContextVar("dropout", default=False)


@contextmanager
def using(index: int = -1, *, dropout: bool = False) -> Iterator[None]:
    """Choose which adapter of every block is active within the ``with`` block, and whether it drops units.

    Args:
        index: Position among the adapters of a block; -1 is the newest.
        dropout: Only for training steps; outside of `using` nothing is ever dropped, whatever ``train()`` says.
    """
    active, drops = _ACTIVE.set(index), _DROPOUT.set(dropout)
    try:
        yield
    finally:
        _ACTIVE.reset(active)
        _DROPOUT.reset(drops)


def bottleneck_width(dim: int, width: int | None) -> int:
    """Return the width H of an adapter: as given, or 64 but at most a quarter of the stream's width.

    Raises:
        ConfigError: If `width` is less than 1.
    """
    if width is None:
        return max(1, min(64, dim // 4))
    if width < 1:
        raise ConfigError(f"adapter_width = {width}", expected="at least 1")
    return width


class Bottleneck(nn.Module):
    """a(x) = scale Up(Drop(ReLU(Down x))), zero for a new adapter.

    Down starts uniform within 1 / sqrt(D); its bias, Up and Up's bias start at zero.

    Args:
        dim: Width D of the stream.
        width: Width H.
        dropout: Probability of dropping a hidden unit.
        scale: Fixed factor.
        device: Where its parameters live.

    Shape:
        Input (N, L, D), output (N, L, D).
    """

    def __init__(
        self, dim: int, width: int, *, dropout: float = 0.1, scale: float = 0.1, device: torch.device | None = None
    ) -> None:
        super().__init__()
        self.down, self.up = nn.Linear(dim, width, device=device), nn.Linear(width, dim, device=device)
        self.dropout, self.scale = dropout, scale
        bound = 1 / math.sqrt(dim)
        nn.init.uniform_(self.down.weight, -bound, bound)
        for zero in (self.down.bias, self.up.weight, self.up.bias):
            nn.init.zeros_(zero)

    def forward(self, x: Tensor) -> Tensor:
        hidden = F.dropout(F.relu(self.down(x)), self.dropout, training=_DROPOUT.get())  # (N, L, H)
        return cast(Tensor, self.scale * self.up(hidden))


class AdaptedMLP(nn.Module):
    """The second half of a block, norm to layer scale, with the active adapter of a stack beside it.

    Args:
        norm: The block's second norm.
        mlp: Its MLP.
        layer_scale: Its second layer scale, often the identity.
        stack: Adapters, owned by somebody else.

    Shape:
        Input x1 (N, L, D), output MLP(LN2 x1) + a(x1).
    """

    def __init__(self, norm: nn.Module, mlp: nn.Module, layer_scale: nn.Module, stack: nn.ModuleList) -> None:
        super().__init__()
        self.norm, self.mlp, self.layer_scale = norm, mlp, layer_scale
        self._stack = (stack,)  # in a tuple it is no submodule, yet a deep copy keeps it shared

    def forward(self, x: Tensor) -> Tensor:
        out = self.layer_scale(self.mlp(self.norm(x)))
        stack = self._stack[0]
        return cast(Tensor, out + stack[_ACTIVE.get()](x) if len(stack) else out)


class Bottlenecks(nn.Module):
    """All adapters of a vision transformer: the model refers to them, this owns them.

    Args:
        blocks: Blocks of a timm model that end in x1 + layer_scale(mlp(norm2(x1))); changed in place.
        width: Hidden width H.
        dropout: Probability of dropping a hidden unit where `using` allows it.

    Raises:
        ConfigError: If a block is not timm's plain one.
    """

    def __init__(self, blocks: Iterable[nn.Module], *, width: int, dropout: float = 0.1) -> None:
        super().__init__()
        self.width, self.dropout = width, dropout
        self.stacks = nn.ModuleList()
        for block in blocks:
            if type(block).__name__ != "Block":
                raise ConfigError(
                    f"no adapter fits a block of type {type(block).__name__}", expected="timm's plain Block"
                )
            stack = nn.ModuleList()
            norm, mlp, layer_scale = (cast(nn.Module, part) for part in (block.norm2, block.mlp, block.ls2))
            block.mlp = AdaptedMLP(norm, mlp, layer_scale, stack)
            block.norm2, block.ls2 = nn.Identity(), nn.Identity()
            self.stacks.append(stack)

    def add(self, dim: int, device: torch.device) -> None:
        """Freeze the adapters there are and add a fresh one to every block.

        Args:
            dim: Width D of the stream.
            device: Where the new parameters live.
        """
        self.requires_grad_(False)
        for stack in self.stacks:
            adapter = Bottleneck(dim, self.width, dropout=self.dropout, device=device)
            cast(nn.ModuleList, stack).append(adapter)

    def __len__(self) -> int:
        """Return how many adapters a block has."""
        return len(cast(nn.ModuleList, self.stacks[0]))
