"""InfLoRA: low-rank branches confined to input directions that old tasks do not use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar, cast, get_args

from torch import Tensor, nn

from sdlora.adapters import inject
from sdlora.adapters.moments import input_moments
from sdlora.adapters.subspace import Energy, Subspace
from sdlora.adapters.subspace_lora import SubspaceLoRALinear
from sdlora.backbones.vit import MOST_FEATURES, Backbone
from sdlora.errors import ConfigError
from sdlora.methods.base import METHODS, Facts, Origin
from sdlora.methods.linear_classifier import HeadInit, HeadKind, Layers, LinearClassifier
from sdlora.task import Task, TaskData


@METHODS.register("inflora")
class InfLoRA(LinearClassifier):
    """Learn B_t of one branch B_t A_t a task, with A_t designed from the task's data before training.

    Before task t: rows of A_t are the leading directions of the inputs of the task, without the part that old tasks
    use. Training: cross-entropy over the classes of the task, nothing else. After it: the directions that hold a share
    eps_t of the energy of the inputs become protected. What is stored of old tasks is that subspace, a basis of at most
    D / 2 columns for each adapted layer: a statistic of old data. The branches fold into W0.

        eps_t = threshold + (1 - threshold) min(t, T - 1) / T,   tasks t from 0, T = num_tasks

    The number of tasks is not known here. If a recipe does not give it, eps_t stays at `threshold`: fewer directions
    are protected in late tasks than with the schedule of the source.

    Args:
        backbone: What is adapted; it stays frozen.
        targets: Projections to adapt; the source takes the key and value projections of every block.
        rank: R of every branch.
        threshold: Share of the energy protected after the first task: 0.95 for CIFAR-100, 0.98 for ImageNet-R.
        num_tasks: T, how many tasks there will be.
        energy: ``"fourth"`` or ``"second"``, see `sdlora.adapters.subspace.Subspace`.
        head: What predicts; this and the arguments below as in `sdlora.methods.linear_classifier.LinearClassifier`.
        head_init: How a new block of the linear head starts.
        head_lr_scale: Multiplies the learning rate of the linear head.
        layers: Features of a head that is solved.
        max_features: Their width at most.
        adapt_tasks: Number of tasks on which anything is trained.

    Source:
        Liang and Li, arXiv 2404.00228, and the released code, which sums old branches in activation space; folding
        them is the same function.
    """

    facts: Facts = Facts(
        trains="one factor of a low-rank branch, the head",
        source="arXiv 2404.00228",
        rehearsal_free=False,
        one_pass=True,
        end_to_end=True,
    )
    mergeable: ClassVar[bool] = True
    from_data: Mapping[str, Origin] = {
        "subspaces.*": "statistics",
        "backbone.*.lora_A": "weights",
        "backbone.*.frozen_A": "weights",
    }

    def __init__(
        self,
        backbone: Backbone,
        *,
        targets: Sequence[str] = ("qkv:k", "qkv:v"),
        rank: int = 10,
        threshold: float = 0.95,
        num_tasks: int | None = None,
        energy: Energy = "fourth",
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
        if not 0 < threshold < 1:
            raise ConfigError(f"threshold = {threshold}", expected="more than 0 and less than 1")
        if num_tasks is not None and num_tasks < 1:
            raise ConfigError(f"num_tasks = {num_tasks}", expected="at least 1")
        if energy not in get_args(Energy):
            raise ConfigError(f'energy = "{energy}"', expected=f"one of {', '.join(get_args(Energy))}")
        adapters = inject(backbone.model, targets, lambda base, rows: SubspaceLoRALinear(base, rows, rank=rank))
        self._adapters = tuple(adapters.values())  # registered in the backbone
        self.subspaces = nn.ModuleList(
            Subspace(adapter.base.in_features, energy=energy).to(backbone.mean.device) for adapter in self._adapters
        )
        self.threshold, self.num_tasks = threshold, num_tasks

    def begin_task(self, task: Task) -> None:
        super().begin_task(task)
        if self.is_adapting:
            cast(nn.Linear, self.head.blocks[-1]).reset_parameters()  # the source starts it as torch does

    def begin_adapting(self, task: Task) -> None:
        if task.index:
            for adapter in self._adapters:
                adapter.begin_branch()

    def prepare(self, data: TaskData) -> None:
        if not self.is_adapting:
            return
        super().prepare(data)
        for adapter, subspace, moment in self._with_moments(data):
            adapter.lora_A.copy_(subspace.design(moment, len(adapter.lora_A)))

    def trained(self) -> list[nn.Parameter]:
        return [adapter.lora_B for adapter in self._adapters]

    def end_task(self, data: TaskData) -> None:
        if self.is_adapting:
            share = self.share(len(self.head.blocks) - 1)
            for _, subspace, moment in self._with_moments(data):
                subspace.protect(moment, share)
        super().end_task(data)

    def share(self, index: int) -> float:
        """Return eps_t, the share of the energy protected after task `index`, from 0."""
        if self.num_tasks is None:
            return self.threshold
        return self.threshold + (1 - self.threshold) * min(index, self.num_tasks - 1) / self.num_tasks

    def report(self) -> dict[str, float | list[float]]:
        """Return the number of protected directions of each adapted layer."""
        return {"protected": [float(cast(Subspace, subspace).num_protected) for subspace in self.subspaces]}

    def _with_moments(self, data: TaskData) -> list[tuple[SubspaceLoRALinear, Subspace, Tensor]]:
        """Return each adapter with its subspace and the second moment of its inputs, on augmented images."""

        def run() -> None:
            for images, _ in data.train:
                self.backbone(images)

        subspaces = [cast(Subspace, subspace) for subspace in self.subspaces]
        return list(zip(self._adapters, subspaces, input_moments(self._adapters, run), strict=True))
