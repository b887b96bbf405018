"""SD-LoRA: learned magnitudes over low-rank directions that accumulate, with rank reduction and distillation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from torch import nn

from sdlora.adapters import PRESETS, RankSchedule, SDLoRAAdapters
from sdlora.backbones.vit import MOST_FEATURES, Backbone
from sdlora.methods.base import METHODS, Facts
from sdlora.methods.linear_classifier import HeadInit, HeadKind, Layers, LinearClassifier
from sdlora.task import Task, TaskData


@METHODS.register("sdlora")
class SDLoRA(LinearClassifier):
    """Learn a new direction for every task, and the magnitudes of all directions so far.

        h' = W0 x + sum_k magnitude_k direction_k x, over all tasks k so far     (arXiv 2501.13198, eq. 4)

    Trained on task t: its pair of low-rank factors in each projection, every magnitude, and the newest block of the
    head, by the cross-entropy over the classes of the task (eq. 1). Everything folds into W0.

    Args:
        backbone: What is adapted; it stays frozen.
        targets: Projections to adapt; the paper takes the query and value projections of every block.
        rank: Rank of the first task's direction.
        preset: ``"paper"``, ``"released"`` or ``"continuous"``, see `sdlora.adapters.presets`; the default is what the
            authors' code computes. docs/benchmark.md compares them.
        rank_schedule: SD-LoRA-RR: ``"paper"`` (0.8 of `rank` from task 4 on, 0.6 from task 8 on), or pairs
            [task, rank]; tasks count from 0. None keeps `rank`.
        distill_threshold: SD-LoRA-KD: a direction that the old ones explain up to this fraction of its square norm
            is handed over to them and not kept; the paper uses 9e-4. None keeps all. Needs a preset whose magnitudes
            carry over.
        head: What predicts; this and the arguments below as in `sdlora.methods.linear_classifier.LinearClassifier`.
        head_init: How a new block of the linear head starts.
        head_lr_scale: Multiplies the learning rate of the linear head.
        layers: Features of a head that is solved.
        max_features: Their width at most.
        adapt_tasks: Number of tasks on which anything is trained.

    Source:
        arXiv 2501.13198. The released code (8bacded) also reloads the backbone for every task and reads old directions
        from disk in each step; neither changes what is computed, and nothing of it is here.
    """

    facts: Facts = Facts(
        trains="low-rank directions, magnitudes, the head",
        source="arXiv 2501.13198",
        rehearsal_free=True,
        one_pass=True,
        end_to_end=True,
    )
    mergeable: ClassVar[bool] = True

    def __init__(
        self,
        backbone: Backbone,
        *,
        targets: Sequence[str] = ("qkv:q", "qkv:v"),
        rank: int = 10,
        preset: str = "released",
        rank_schedule: Literal["paper"] | Sequence[tuple[int, int]] | None = None,
        distill_threshold: float | None = None,
        head: HeadKind = "linear",
        head_init: HeadInit = "default",
        head_lr_scale: float = 1.0,
        layers: Layers = None,
        max_features: int = MOST_FEATURES,
        adapt_tasks: int | None = None,
    ) -> None:
        super().__init__(
            backbone,
            head=head,
            head_init=head_init,
            head_lr_scale=head_lr_scale,
            layers=layers,
            max_features=max_features,
            adapt_tasks=adapt_tasks,
        )
        self.adapters = SDLoRAAdapters(
            backbone.model,
            targets,
            preset=PRESETS.get(preset),
            ranks=RankSchedule.of(rank, rank_schedule),
            distill_threshold=distill_threshold,
        )
        self.num_tasks = 0

    def begin_adapting(self, task: Task) -> None:
        self.adapters.begin_task(task.index)
        self.num_tasks = task.index + 1

    def trained(self) -> list[nn.Parameter]:
        return self.adapters.trained()

    def end_task(self, data: TaskData) -> None:
        if self.is_adapting:
            self.adapters.end_task()
        super().end_task(data)

    def report(self) -> dict[str, float | list[float]]:
        return self.adapters.report(self.num_tasks)
