"""Low-rank branches that add up, each with a given A and a learned B (InfLoRA).

W = W0 + sum over tasks of B_t A_t,   A_t the same for all adapted slices of a layer

Letters: R rank, T tasks, D_in and D_out widths; D_out counts the adapted rows alone. The InfLoRA paper swaps the names:
its B is `lora_A`, its A is `lora_B`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sdlora.adapters.adapter import LinearAdapter, parameter_dtype
from sdlora.adapters.folded import Factor, Rows
from sdlora.adapters.pair import check_rank


class SubspaceLoRALinear(LinearAdapter):
    """A frozen Linear plus one branch a task, of which the newest learns.

    Args:
        base: Layer to adapt.
        rows: Name of each slice to its rows.
        rank: R of every branch.

    Attributes:
        lora_A: (R, D_in), not learned; zero until it is set from data.
        lora_B: (D_out, R), zero at the start of a task.
        frozen_A: (R T, D_in), of all older tasks.
        frozen_B: (D_out, R T).

    Shape:
        Input (..., D_in), output (..., D_out).

    Raises:
        ConfigError: If `rank` exceeds a width.
    """

    lora_A: Tensor  # noqa: N815
    frozen_A: Tensor  # noqa: N815
    frozen_B: Tensor  # noqa: N815

    def __init__(self, base: nn.Linear, rows: Mapping[str, Rows], *, rank: int) -> None:
        super().__init__(base, rows)
        self._sizes = [stop - start for start, stop in rows.values()]
        check_rank(rank, base.in_features, min(self._sizes))
        empty = torch.empty(0, dtype=parameter_dtype(base), device=base.weight.device)
        self.register_buffer("lora_A", empty.new_zeros(rank, base.in_features))
        self.lora_B = nn.Parameter(empty.new_zeros(sum(self._sizes), rank))
        self.register_buffer("frozen_A", empty.new_empty(0, base.in_features))
        self.register_buffer("frozen_B", empty.new_empty(sum(self._sizes), 0))

    @torch.no_grad()
    def begin_branch(self) -> None:
        """Move the newest branch to the frozen ones and start another, which is zero."""
        self.frozen_A = torch.cat([self.frozen_A, self.lora_A])
        self.frozen_B = torch.cat([self.frozen_B, self.lora_B], dim=1)
        self.lora_A.zero_()
        self.lora_B = nn.Parameter(torch.zeros_like(self.lora_B))

    def factors(self) -> list[Factor]:
        factors = []
        for A, B in ((self.frozen_A, self.frozen_B), (self.lora_A, self.lora_B)):
            ones = A.new_ones(len(A))
            parts = zip(self.rows.values(), torch.split(B, self._sizes), strict=True)
            factors += [Factor(rows, ones, A, part) for rows, part in parts if len(A)]
        return factors
