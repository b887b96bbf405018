"""What methods share that train one linear head by the cross-entropy, whatever then predicts."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal, cast, get_args

import torch
from torch import Tensor, nn

from sdlora.backbones.vit import MOST_FEATURES, Backbone
from sdlora.errors import ConfigError
from sdlora.heads import LinearHead
from sdlora.heads.discriminant import TURNS, DiscriminantHead, start
from sdlora.heads.random_projection import RandomProjectionHead, projection_width
from sdlora.methods.base import Facts, Method, Origin, ParamGroup
from sdlora.task import Task, TaskData

HeadKind = Literal["linear", "discriminant", "ridge"]
HeadInit = Literal["default", "released", "discriminant"]
Layers = Literal["all"] | int | None


class LinearClassifier(Method):
    """Features under a linear head of one block a task, trained by the local cross-entropy; abstract.

    Args:
        backbone: What computes the features.
        head: What predicts. ``"linear"``: the head that was trained. ``"discriminant"`` and ``"ridge"``: a head solved
            from statistics that are kept of all classes, after each task, on its images as the model sees them then:
            `sdlora.heads.discriminant.DiscriminantHead`, still one linear layer, or
            `sdlora.heads.random_projection.RandomProjectionHead`. The linear head then serves training alone.
        head_init: How a new block of the linear head starts: ``"discriminant"`` as `sdlora.heads.discriminant.start`
            computes it from the task's images before the first step, the others as in `sdlora.heads.LinearHead`.
        head_lr_scale: Multiplies the learning rate of the linear head.
        layers: Features of the head that is solved: what `Backbone.layer_features` takes from the tokens of this many
            last blocks, or of ``"all"``; None for the feature that the linear head sees.
        max_features: Width of these features at most, see `Backbone.layer_features`. What the head keeps grows with its
            square, and the time to solve it with its cube.
        adapt_tasks: Number of tasks, from the first, on which anything is trained; None for all. For heads that are
            solved alone. A task of one class then trains nothing whatever its number: its cross-entropy is constant.

    Raises:
        ConfigError: If `layers` or `adapt_tasks` are given for a head that is trained, or a value cannot be.
    """

    def __init__(
        self,
        backbone: Backbone,
        *,
        head: HeadKind = "linear",
        head_init: HeadInit = "default",
        head_lr_scale: float = 1.0,
        layers: Layers = None,
        max_features: int = MOST_FEATURES,
        adapt_tasks: int | None = None,
    ) -> None:
        super().__init__(backbone)
        _check(head, head_init, layers, adapt_tasks)
        if not 1 <= max_features <= MOST_FEATURES:
            raise ConfigError(f"max_features = {max_features}", expected=f"1 to {MOST_FEATURES:,}")
        self.head = LinearHead(backbone.feature_dim, init="default" if head_init == "discriminant" else head_init)
        self.head_init, self.head_lr_scale = head_init, head_lr_scale
        self.max_features = max_features
        self.feature_layers = None if layers is None else backbone.last_blocks(layers)
        self.adapt_tasks, self.is_adapting = adapt_tasks, True
        self.solved_head: DiscriminantHead | RandomProjectionHead | None = None
        self._before: tuple[LinearClassifier, ...] = ()  # itself as the last task left it, until `prepare`
        if head != "linear":
            self.solved_head = self._make_head(head)
            self.facts = self.facts_with({"head": head})
            self.from_data = {**self.from_data, **_KEPT[head]}

    @classmethod
    def facts_with(cls, options: Mapping[str, Any]) -> Facts:
        if options.get("head", "linear") == "linear":
            return cls.facts
        return replace(cls.facts, rehearsal_free=False, end_to_end=False)

    def _make_head(self, kind: HeadKind) -> DiscriminantHead | RandomProjectionHead:
        width, device = self.backbone.feature_dim, self.backbone.mean.device
        if self.feature_layers is not None:
            width = self.backbone.layer_dim(len(self.feature_layers), self.max_features)
        if kind == "discriminant":
            return DiscriminantHead(width, device=device)
        return RandomProjectionHead(width, projection_width(self.backbone.feature_dim, None), device=device)

    def begin_task(self, task: Task) -> None:
        self.is_adapting = self.adapts_to(task)
        self._before = self._snapshot()
        if self.solved_head is not None:
            self.solved_head.grow(task.num_classes)
        if self.is_adapting:
            self.begin_adapting(task)
        if self._is_early(task):
            self.head.grow(task.num_classes)  # also where it will not be trained: its rows are the classes

    def adapts_to(self, task: Task) -> bool:
        """Whether anything is trained on a task; what was learned stays a parameter, so that it is stored."""
        return self._is_early(task) and (self.solved_head is None or task.num_classes > 1)

    def _is_early(self, task: Task) -> bool:
        return self.adapt_tasks is None or task.index < self.adapt_tasks

    def begin_adapting(self, task: Task) -> None:
        """Make room for a task in what adapts the features. Default: nothing."""

    def _snapshot(self) -> tuple[LinearClassifier, ...]:
        """Return a copy with which features of before a task can be had, where they are needed, in a tuple."""
        head = self.solved_head
        if not self.is_adapting or not isinstance(head, DiscriminantHead) or not int(head.num_fitted):
            return ()
        shared: list[Tensor] = [parameter for parameter in self.parameters() if not parameter.requires_grad]
        shared += [tensor for part in (self.head, head) for tensor in (*part.parameters(), *part.buffers())]
        return (copy.deepcopy(self, {id(tensor): tensor for tensor in shared}),)

    def prepare(self, data: TaskData) -> None:
        if self.head_init == "discriminant" and self.is_adapting:
            self._start_block(data)
        if self._before:
            cast(DiscriminantHead, self.solved_head).watch(self._before[0].all_features(data)[0])
        self._before = ()

    @torch.no_grad()
    def all_features(self, data: TaskData) -> tuple[Tensor, Tensor]:
        """Return the features (N, D) on which the head is solved, and the labels (N,), of a task's images."""
        with data.autocast():
            found = [(self.solved_features(images), labels) for images, labels in data.plain]
        features, labels = (torch.cat(parts) for parts in zip(*found, strict=True))
        return features, labels

    @torch.no_grad()
    def _start_block(self, data: TaskData) -> None:
        block = cast(nn.Linear, self.head.blocks[-1])
        offset = self.head.num_classes - block.out_features
        with data.autocast():
            found = [
                (torch.stack([self.task_features(images.rot90(turns, (2, 3))) for turns in (0, *TURNS)]), labels)
                for images, labels in data.plain
            ]
        features, labels = torch.cat([f for f, _ in found], dim=1), torch.cat([y for _, y in found])
        weight, bias = start(features[0], features[1:], labels - offset, block.out_features)
        block.weight.copy_(weight)
        block.bias.copy_(bias)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        if not self.is_adapting:
            return {}
        return {"cross_entropy": self.head.loss(self.task_features(images), labels)}

    @abstractmethod
    def trained(self) -> list[nn.Parameter]:
        """Return what the current task trains besides the newest block of the head."""

    def param_groups(self) -> list[ParamGroup]:
        if not self.is_adapting:
            return []
        head = [p for p in self.head.parameters() if p.requires_grad]
        groups: list[ParamGroup] = [{"params": self.trained()}, {"params": head, "lr_scale": self.head_lr_scale}]
        return [group for group in groups if group["params"]]

    def end_task(self, data: TaskData) -> None:
        if self.solved_head is not None:
            self.solved_head.fit(*self.all_features(data))

    def refresh(self, data: TaskData) -> None:
        """Add new images of known classes to the statistics of the head that is solved, and solve it again.

        Args:
            data: Images whose labels are class ids of earlier tasks.

        Raises:
            ConfigError: If the head is not solved but trained.
        """
        if self.solved_head is None:
            raise ConfigError('known classes with head = "linear"', expected='head = "discriminant" or "ridge"')
        self.solved_head.fit(*self.all_features(data))

    def task_features(self, images: Tensor) -> Tensor:
        """Return the features (N, D) of images of the current task, as training sees them."""
        return self.features(images)

    def features(self, images: Tensor) -> Tensor:
        """Return the features (N, D) of any images."""
        return cast(Tensor, self.backbone(images))

    def solved_features(self, images: Tensor) -> Tensor:
        """Return the features of any images on which the head is solved."""
        return (
            self.features(images)
            if self.feature_layers is None
            else self.backbone.layer_features(images, self.feature_layers, self.max_features)
        )

    @property
    def predicts_in_training(self) -> bool:
        """Whether what is trained predicts: always where no head is solved, and within the first task, before it is."""
        head = self.solved_head
        return head is None or (int(head.num_fitted) == 0 and len(self.head.blocks) > 0)

    def forward(self, images: Tensor) -> Tensor:
        if self.predicts_in_training:
            return cast(Tensor, self.head(self.features(images)))
        return cast(Tensor, cast(nn.Module, self.solved_head)(self.solved_features(images)))


_KEPT: Mapping[HeadKind, Mapping[str, Origin]] = {
    "linear": {},
    "discriminant": {
        "solved_head.within": "statistics",
        "solved_head.counts": "statistics",
        "solved_head.means": "statistics",
        "solved_head.left_out_hits": "statistics",
        "solved_head.scale": "statistics",
        "solved_head.before": "features",  # of the task under way, none between tasks
        "solved_head.contrast_*": "statistics",
        "solved_head.weight": "weights",
        "solved_head.bias": "weights",
    },
    "ridge": {
        "solved_head.gram": "statistics",
        "solved_head.cross": "statistics",
        "solved_head.strengths": "statistics",
        "solved_head.weight": "weights",
    },
}
"""What the heads that are solved keep of data."""


def _check(head: HeadKind, head_init: HeadInit, layers: Layers, adapt_tasks: int | None) -> None:
    for name, value, kinds in (("head", head, HeadKind), ("head_init", head_init, HeadInit)):
        if value not in get_args(kinds):
            raise ConfigError(f'{name} = "{value}"', expected=f"one of {', '.join(get_args(kinds))}")
    if adapt_tasks is not None and adapt_tasks < 0:
        raise ConfigError(f"adapt_tasks = {adapt_tasks}", expected="0 or more")
    if head == "linear" and (layers is not None or adapt_tasks is not None):
        name = "layers" if layers is not None else "adapt_tasks"
        raise ConfigError(f'{name} with head = "linear"', expected='head = "discriminant" or "ridge"')
