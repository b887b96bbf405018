"""SD-LoRA: learned magnitudes over normalised low-rank directions that accumulate task by task.

    W = W0 + sum_k (magnitude_k scale_k + offset_k) direction_k + magnitude_t B A        (arXiv 2501.13198, eq. 4)

One magnitude a task is shared by all adapted projections; each projection has its own directions. How a pair becomes a
direction, and what scale is, depends on the preset (`sdlora.adapters.presets`); offset is what SD-LoRA-KD handed over.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from sdlora.adapters.adapter import LinearAdapter
from sdlora.adapters.directions import Directions
from sdlora.adapters.folded import Factor, Rows
from sdlora.adapters.inject import inject
from sdlora.adapters.pair import check_rank
from sdlora.adapters.presets import Preset
from sdlora.adapters.ranks import RankSchedule
from sdlora.adapters.resize import adopt_shapes_
from sdlora.errors import ConfigError, NumericalError


class Magnitudes(nn.Module):
    """One learnable scalar a task, for as long as some projection keeps the task's direction.

    Attributes:
        values: (T,), all of them learn.
        tasks: (T,) int64, the task of each.
    """

    tasks: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Parameter(torch.empty(0))
        self.register_buffer("tasks", torch.empty(0, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.values)

    def grow(self, task: int, preset: Preset) -> None:
        """Add the magnitude of `task`, and restart the old ones where the preset says so."""
        values = torch.cat([self.values.detach(), self.values.new_full((1,), preset.start)])
        self.values = nn.Parameter(values if preset.carries else torch.full_like(values, preset.start))
        self.tasks = torch.cat([self.tasks, self.tasks.new_tensor([task])])

    def drop_newest(self) -> None:
        """Remove the newest magnitude."""
        self.values = nn.Parameter(self.values.detach()[:-1].clone(), requires_grad=len(self) > 1)
        self.tasks = self.tasks[:-1].clone()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        adopt_shapes_(self, state_dict, prefix, {"values": 0, "tasks": 0})
        super()._load_from_state_dict(state_dict, prefix, *args)


class SDLoRALinear(LinearAdapter):
    """A frozen Linear plus magnitudes times directions on one or several slices of its rows.

    Args:
        base: Layer to adapt.
        rows: Name of each slice to its rows.
        magnitudes: Shared with other adapters and owned by none of them, so that it is stored once.
        preset: How a pair becomes a direction.

    Shape:
        Input (..., D_in), output (..., D_out).
    """

    def __init__(self, base: nn.Linear, rows: Mapping[str, Rows], magnitudes: Magnitudes, preset: Preset) -> None:
        super().__init__(base, rows)
        self._shared = (magnitudes,)  # in a tuple it is no submodule, yet a deep copy keeps it shared
        self.parts = nn.ModuleDict(
            {name: Directions(base, stop - start, preset) for name, (start, stop) in rows.items()}
        )

    @property
    def magnitudes(self) -> Magnitudes:
        """The shared magnitudes."""
        return self._shared[0]

    @property
    def directions(self) -> list[Directions]:
        """The directions of each slice."""
        return [cast(Directions, part) for part in self.parts.values()]

    def begin_task(self, rank: int) -> None:
        """Freeze the newest pairs and start new ones; the magnitudes grow afterwards, once for all adapters."""
        for part in self.directions:
            if len(self.magnitudes) > len(part.ranks):
                part.freeze()
            part.begin(rank)

    def factors(self) -> list[Factor]:
        values = self.magnitudes.values
        parts = zip(self.rows.values(), self.directions, strict=True)
        return [factor for rows, part in parts for factor in part.factors(rows, values)]


class SDLoRAAdapters(nn.Module):
    """All SD-LoRA adapters of a model and the magnitudes they share; the model holds the adapters, this the magnitudes.

    Args:
        model: Any module; its target layers are replaced in place.
        targets: Which layers, see `sdlora.adapters.inject.find_targets`.
        preset: How a pair becomes a direction.
        ranks: Rank of each task's pair.
        distill_threshold: tau of SD-LoRA-KD: a direction whose residual over the old ones is below it is not kept (the
            paper uses 9e-4). None keeps all.

    Raises:
        ConfigError: If a target or a rank does not fit the model, or the preset cannot distill.

    Example:
        >>> from sdlora.adapters import PRESETS
        >>> model = nn.Sequential(nn.Linear(8, 8), nn.GELU(), nn.Linear(8, 4))
        >>> adapters = SDLoRAAdapters(model, ["0"], preset=PRESETS.get("continuous"), ranks=RankSchedule.of(2))
        >>> adapters.begin_task(0)
        >>> sum(p.numel() for p in adapters.trained())  # a pair of rank 2, a magnitude
        33
    """

    def __init__(
        self,
        model: nn.Module,
        targets: Sequence[str],
        *,
        preset: Preset,
        ranks: RankSchedule,
        distill_threshold: float | None = None,
    ) -> None:
        super().__init__()
        if distill_threshold is not None and not preset.carries:
            raise ConfigError(
                "a preset that restarts its magnitudes cannot distill: what is handed over would be lost",
                fix='choose preset "continuous" or "paper", or leave distill_threshold out',
            )
        self.preset, self.ranks, self.distill_threshold = preset, ranks, distill_threshold
        self.magnitudes = Magnitudes()
        made = inject(model, targets, lambda base, rows: SDLoRALinear(base, rows, self.magnitudes, preset))
        self._adapters = tuple(made.values())
        for part in self.directions:
            for _, rank in ranks.steps:
                check_rank(rank, part.frozen_A.shape[1], part.frozen_B.shape[0])
        self.magnitudes.to(self.directions[0].scales)

    @property
    def directions(self) -> list[Directions]:
        """The directions of every adapted projection, in the order of the model."""
        return [part for adapter in self._adapters for part in adapter.directions]

    def trained(self) -> list[nn.Parameter]:
        """Return what learns: the magnitudes and the newest pairs."""
        pairs = [factor for part in self.directions for factor in (part.lora_A, part.lora_B)]
        return [parameter for parameter in (self.magnitudes.values, *pairs) if parameter.requires_grad]

    def begin_task(self, task: int) -> None:
        """Freeze the newest directions, then start a new pair in each projection and a magnitude for all of them."""
        for adapter in self._adapters:
            adapter.begin_task(self.ranks.at(task))
        self.magnitudes.grow(task, self.preset)

    def end_task(self) -> None:
        """Drop newest pairs that are zero or, below the threshold, stood in for by old ones; note all residuals.

        Raises:
            NumericalError: If a magnitude or a direction holds a value that is not finite; nothing was changed.
        """
        if not all(bool(torch.isfinite(parameter).all()) for parameter in self.trained()):
            raise NumericalError("a magnitude or a low-rank direction holds a value that is not finite")
        for part in self.directions:
            part.finish(self.magnitudes.values.detach(), self.distill_threshold)
        begun = len(self.magnitudes) > len(self.directions[0].ranks)
        if begun and not any(part.rank for part in self.directions):
            self.magnitudes.drop_newest()

    def report(self, num_tasks: int) -> dict[str, float | list[float]]:
        """Return numbers worth a picture.

        Returns:
            ``magnitudes``: per task, with scale and offset, mean over all projections; ``ranks``: per task, mean over
            all projections; 0 for a task that was dropped. ``residuals``: of the newest task, per projection.
        """
        magnitudes, ranks = [0.0] * num_tasks, [0.0] * num_tasks
        values = self.magnitudes.values.detach()
        means = torch.tensor([part.coefficients(values) for part in self.directions]).mean(0)
        mean_ranks = torch.tensor([part.all_ranks() for part in self.directions]).float().mean(0)
        for slot, task in enumerate(self.magnitudes.tasks.tolist()):
            magnitudes[task] = float(means[slot])
            ranks[task] = float(mean_ranks[slot])
        residuals = [float(part.residual) for part in self.directions]
        return {"magnitudes": magnitudes, "ranks": ranks, "residuals": residuals}
