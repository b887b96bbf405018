"""Plain LoRA: one low-rank pair on each adapted slice of a frozen Linear.

W = W0 + scale * B A,   scale = alpha / rank          (arXiv 2106.09685, eq. 3)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from sdlora.adapters.adapter import LinearAdapter, parameter_dtype
from sdlora.adapters.folded import Factor, Rows
from sdlora.adapters.pair import new_pair


class Pair(nn.Module):
    """The pair of one slice.

    Attributes:
        lora_A: (R, D_in), uniform within 1 / sqrt(D_in) at the start.
        lora_B: (rows of the slice, R), zero at the start.
        scale: (R,), alpha / rank; not stored, not learned.
    """

    scale: Tensor

    def __init__(self, base: nn.Linear, num_outputs: int, rank: int, alpha: float) -> None:
        super().__init__()
        self.lora_A, self.lora_B = new_pair(
            rank,
            base.in_features,
            num_outputs,
            zero_B=True,
            dtype=parameter_dtype(base),
            device=base.weight.device,
        )
        self.register_buffer("scale", self.lora_A.new_full((rank,), alpha / rank), persistent=False)


class LoRALinear(LinearAdapter):
    """A frozen Linear plus one low-rank pair on each of several slices of its rows.

    Args:
        base: Layer to adapt.
        rows: Name of each slice to its rows.
        rank: Rank R of each pair.
        alpha: The update is multiplied by alpha / rank.

    Shape:
        Input (..., D_in), output (..., D_out).

    Raises:
        ConfigError: If `rank` exceeds a width.

    Example:
        >>> import torch
        >>> LoRALinear(nn.Linear(4, 6), {"all": (0, 6)}, rank=2, alpha=2.0)(torch.ones(1, 3, 4)).shape
        torch.Size([1, 3, 6])
    """

    def __init__(self, base: nn.Linear, rows: Mapping[str, Rows], *, rank: int, alpha: float) -> None:
        super().__init__(base, rows)
        self.parts = nn.ModuleDict(
            {name: Pair(base, stop - start, rank, alpha) for name, (start, stop) in rows.items()}
        )

    @property
    def pairs(self) -> list[Pair]:
        """The pair of each slice."""
        return [cast(Pair, part) for part in self.parts.values()]

    def factors(self) -> list[Factor]:
        parts = zip(self.rows.values(), self.pairs, strict=True)
        return [Factor(rows, pair.scale, pair.lora_A, pair.lora_B) for rows, pair in parts]
