"""The directions of one projection: the frozen ones packed, and the pair that learns.

Letters: T old tasks, R ranks of the old directions added up, D_in and D_out widths.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from sdlora.adapters.adapter import parameter_dtype
from sdlora.adapters.distill import fit_direction
from sdlora.adapters.folded import Factor, Rows
from sdlora.adapters.pair import NEGLIGIBLE, Divisor, new_pair, unit_pair
from sdlora.adapters.presets import Preset
from sdlora.adapters.resize import adopt_shapes_


class Directions(nn.Module):
    """All directions of one projection.

    The update is sum_k (magnitude_k scale_k + offset_k) B_k A_k over the frozen directions, plus magnitude_t B A of the
    newest pair, which is normalised first where the preset says so.

    Args:
        base: Layer whose weight is updated; gives type and device.
        num_outputs: How many of its rows, D_out.
        preset: How a pair becomes a direction.

    Attributes:
        frozen_A: (R, D_in), normalised once, when the next task begins, in float64.
        frozen_B: (D_out, R).
        ranks: (T,) int64, rows of each direction; 0 for one that was dropped here but not in every projection.
        scales: (T,), what of a direction's size is not in the shared magnitude.
        offsets: (T,), what dropped directions handed over; frozen. Zero under a preset that restarts its magnitudes,
            since that cannot distill; then they are not stored.
        lora_A: (R', D_in), the newest pair; without rows before the first task and once dropped.
        lora_B: (D_out, R').
        residual: Of the newest direction over the older ones, a fraction of its square norm; set at its task's end.
    """

    frozen_A: Tensor  # noqa: N815
    frozen_B: Tensor  # noqa: N815
    ranks: Tensor
    scales: Tensor
    offsets: Tensor
    residual: Tensor

    def __init__(self, base: nn.Linear, num_outputs: int, preset: Preset) -> None:
        super().__init__()
        self.preset = preset
        empty = torch.empty(0, dtype=parameter_dtype(base), device=base.weight.device)
        self.register_buffer("frozen_A", empty.new_empty(0, base.in_features))
        self.register_buffer("frozen_B", empty.new_empty(num_outputs, 0))
        self.register_buffer("ranks", empty.new_empty(0, dtype=torch.int64))
        self.register_buffer("scales", empty)
        self.register_buffer("offsets", empty.clone(), persistent=preset.carries)
        self.register_buffer("residual", empty.new_ones(()))
        self._drop_pair()

    @property
    def rank(self) -> int:
        """Rank of the newest pair; 0 when there is none."""
        return len(self.lora_A)

    def begin(self, rank: int) -> None:
        """Start a new pair.

        Raises:
            ConfigError: If `rank` exceeds a width.
        """
        self.lora_A, self.lora_B = new_pair(
            rank,
            self.frozen_A.shape[1],
            self.frozen_B.shape[0],
            zero_B=not self.preset.trains_unit,
            dtype=self.frozen_A.dtype,
            device=self.frozen_A.device,
        )

    @torch.no_grad()
    def freeze(self) -> None:
        """Move the newest pair to the frozen directions."""
        A, B, norm = self._unit(self.preset.divisor)
        scale = norm if self.preset.keeps_norm else torch.ones_like(norm)
        self.frozen_A = torch.cat([self.frozen_A, A.to(self.frozen_A)])
        self.frozen_B = torch.cat([self.frozen_B, B.to(self.frozen_B)], dim=1)
        self.ranks = torch.cat([self.ranks, self.ranks.new_tensor([self.rank])])
        self.scales = torch.cat([self.scales, scale.to(self.scales)[None] * bool(self.rank)])
        self.offsets = torch.cat([self.offsets, self.offsets.new_zeros(1)])
        self._drop_pair()

    @torch.no_grad()
    def finish(self, magnitudes: Tensor, threshold: float | None) -> None:
        """Drop the newest pair if it is zero, or if the old directions can stand in for it.

        In the second case each takes over its share, offset_k += magnitude_t |B A| a_k: the paper's alpha_k +=
        delta_k, where alpha_k = magnitude_k scale_k + offset_k is the coefficient in this projection. What the shared
        magnitude is multiplied by stays, so a later step of it moves the weight as before. The update moves by
        |magnitude_t| |B A| sqrt(residual) in Frobenius norm.

        Args:
            magnitudes: (T + 1,), of the old directions and the newest.
            threshold: Residual below which a pair is dropped; None for never.

        Raises:
            NumericalError: If a direction holds a value that is not finite.
        """
        if not self.rank:
            return
        A, B, _ = self._unit("product")
        fit = fit_direction(A, B, self.frozen_A, self.frozen_B, self.ranks)
        self.residual.fill_(fit.residual)
        if self.size() <= NEGLIGIBLE or (threshold is not None and fit.residual < threshold):
            self.offsets += (fit.shares * self.size()).to(self.offsets) * magnitudes[-1]
            self._drop_pair()

    def size(self) -> float:
        """Return the Frobenius norm of the newest direction at magnitude 1; 0 when there is none."""
        A, _, norm = self._unit("product")
        return float(A.norm() > 0) if self.preset.trains_unit else float(norm)

    def factors(self, rows: Rows, magnitudes: Tensor) -> list[Factor]:
        """Return the update of `rows` under the magnitudes (T + 1,), or (T,) once the newest was dropped."""
        factors = []
        if len(self.frozen_A):
            of_row = torch.repeat_interleave(self.ranks, output_size=len(self.frozen_A))
            coef = (magnitudes[: len(self.scales)] * self.scales + self.offsets)[of_row]
            factors.append(Factor(rows, coef, self.frozen_A, self.frozen_B))
        if self.rank:
            pair: tuple[Tensor, Tensor] = (self.lora_A, self.lora_B)
            if self.preset.trains_unit:
                pair = unit_pair(*pair)[:2]
            factors.append(Factor(rows, magnitudes[-1].expand(self.rank), *pair))
        return factors

    def coefficients(self, magnitudes: Tensor) -> list[float]:
        """Return what every direction is multiplied by, the newest one's last, which is 0 where it was dropped.

        Where the preset keeps norms the newest one's includes |B A|_F, as it will once frozen.

        Args:
            magnitudes: (T + 1,), or (T,) once the newest was dropped everywhere.
        """
        frozen = magnitudes[: len(self.scales)] * self.scales + self.offsets
        newest = magnitudes[len(self.scales) :] * (self.size() if self.preset.keeps_norm else float(self.rank > 0))
        return [*frozen.tolist(), *newest.tolist()]

    def all_ranks(self) -> list[int]:
        """Return the rank of every direction, the newest one's last."""
        return [*self.ranks.tolist(), self.rank]

    def _unit(self, divisor: Divisor) -> tuple[Tensor, Tensor, Tensor]:
        return unit_pair(self.lora_A.detach().cpu().double(), self.lora_B.detach().cpu().double(), divisor)

    def _drop_pair(self) -> None:
        self.lora_A = nn.Parameter(self.frozen_A[:0].clone(), requires_grad=False)
        self.lora_B = nn.Parameter(self.frozen_B[:, :0].clone(), requires_grad=False)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        dims = {"frozen_A": 0, "frozen_B": 1, "ranks": 0, "scales": 0, "offsets": 0, "lora_A": 0, "lora_B": 1}
        adopt_shapes_(self, state_dict, prefix, dims)
        super()._load_from_state_dict(state_dict, prefix, *args)
        if not self.preset.carries:
            self.offsets = torch.zeros_like(self.scales)
        total, errors = int(self.ranks.sum()), args[-1]
        found = (len(self.frozen_A), self.frozen_B.shape[1])
        tasks = {len(self.ranks), len(self.scales), len(self.offsets)}
        if found != (total, total) or len(tasks) > 1 or self.rank != self.lora_B.shape[1]:
            errors.append(f"the directions at {prefix[:-1]} do not fit together: ranks add up to {total}, rows {found}")
