"""What takes the steps that are timed: the floor, SD-LoRA and its other forms, PEFT's LoRA, every method."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, cast

import timm
import torch
from torch import Tensor, nn

from benchmarks.per_direction import InActivations
from sdlora.adapters import SDLoRALinear, adapters_of
from sdlora.adapters.inject import replace_
from sdlora.backbones.vit import SHIPPED, UNTRAINED, Backbone, load_backbone
from sdlora.heads import LinearHead
from sdlora.methods import METHODS, Facts, Method
from sdlora.task import Task

FLOOR = "floor"
FORMS = ("sdlora", "loop", "stacked")
CLASSES = 10  # in a task
LAST = 20  # the later of the two tasks at which every method is timed


@dataclass(frozen=True)
class Subject:
    """Something that trains.

    Attributes:
        method: What its row is called.
        tasks: The task it is at, from 1.
        make: Builds it at that task on a backbone of its own.
    """

    method: str
    tasks: int
    make: Callable[[Backbone], Method]


class HeadOnTop(Method):
    """A backbone, changed or not, and a head: trains whatever of them learns."""

    facts: ClassVar[Facts] = Facts(
        trains="what is open", source="here", rehearsal_free=True, one_pass=True, end_to_end=True
    )
    mergeable: ClassVar[bool] = False

    def __init__(self, backbone: Backbone) -> None:
        super().__init__(backbone)
        self.head = LinearHead(backbone.feature_dim)

    def begin_task(self, task: Task) -> None:
        self.head.grow(task.num_classes)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return {"cross_entropy": self.head.loss(self.backbone(images), labels)}

    def forward(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.head(self.backbone(images)))


def task(number: int) -> Task:
    """Return a task by its number, from 1."""
    return Task(number - 1, ("",) * CLASSES, CLASSES * (number - 1))


def at_task(method: Method, number: int) -> Method:
    """Begin tasks up to `number`; SD-LoRA's pairs get random values, so that there is something to normalise."""
    for index in range(1, number + 1):
        method.begin_task(task(index))
        with torch.no_grad():
            for name, parameter in method.named_parameters():
                if name.endswith("lora_B") and parameter.requires_grad:
                    parameter.normal_(std=0.02)
    return method


def floor(backbone: Backbone) -> Method:
    """Build the frozen backbone with a head, and gradients down to the first layer that the others adapt."""
    first = next(module for name, module in backbone.named_modules() if name.endswith("qkv"))
    first.register_forward_hook(lambda module, inputs, output: output.detach().requires_grad_())
    return at_task(HeadOnTop(backbone), 1)


def folded(backbone: Backbone, tasks: int, rank: int) -> Method:
    """Build SD-LoRA as this package computes it."""
    return at_task(METHODS.get("sdlora")(backbone, rank=rank), tasks)  # type: ignore[call-arg]


def in_activations(backbone: Backbone, tasks: int, rank: int, *, stacked: bool) -> Method:
    """Build SD-LoRA computed in activation space."""
    folded(backbone, tasks, rank)
    adapters = cast(dict[str, SDLoRALinear], adapters_of(backbone))
    magnitudes = next(iter(adapters.values())).magnitudes
    replace_(backbone, {adapter: InActivations(adapter, stacked=stacked) for adapter in adapters.values()})
    method = HeadOnTop(backbone)
    method.magnitudes = magnitudes  # they belong to no adapter
    return at_task(method, tasks)


def of_peft(backbone: Backbone, rank: int) -> Method:
    """Build PEFT's LoRA on the fused projections, of which it cannot name a part."""
    import peft

    config = peft.LoraConfig(r=rank, lora_alpha=rank, target_modules=["qkv"])
    peft.inject_adapter_in_model(config, cast(nn.Module, backbone.model))
    return at_task(HeadOnTop(backbone), 1)


def subjects(names: Iterable[str], tasks: Iterable[int], rank: int) -> list[Subject]:
    """Return what is to be timed, the floor first.

    Args:
        names: ``"sdlora"``, ``"loop"``, ``"stacked"``: at each of `tasks`; ``"peft"`` and every other method: at its
            first and, where it has one, its twentieth task.
        tasks: Numbers of tasks, from 1.
        rank: Of all low-rank pairs.
    """
    chosen = [Subject(FLOOR, 0, floor)]
    for name in names:
        for number in tasks if name in FORMS else (1, LAST):
            if name == "sdlora":
                make = partial(folded, tasks=number, rank=rank)
            elif name in FORMS:
                make = partial(in_activations, tasks=number, rank=rank, stacked=name == "stacked")
            elif name == "peft":
                make = partial(of_peft, rank=rank)
            else:
                make = partial(_registered, name=name, tasks=number)
            if number == 1 or not (name == "peft" or (name in METHODS and METHODS.get(name).joint)):
                chosen.append(Subject(name, number, make))
    return chosen


def _registered(backbone: Backbone, name: str, tasks: int) -> Method:
    return at_task(METHODS.get(name)(backbone), tasks)


def random_backbone(model: str, image_size: int | None) -> Backbone:
    """Return a timm model with random weights, or one of the package's own."""
    torch.manual_seed(0)
    if model in (SHIPPED, UNTRAINED):
        return load_backbone(model)
    size = {} if image_size is None else {"img_size": image_size}
    return Backbone(timm.create_model(model, pretrained=False, **size), name=model, sha256="random")


def build(subject: Subject, backbone: Backbone) -> Method:
    """Build a subject; it shares the backbone's frozen weights, unless it trains them."""
    shared: dict[int, object] = {id(p): p for p in backbone.parameters()}
    method = subject.make(copy.deepcopy(backbone, shared))
    if any(p.requires_grad for p in backbone.parameters()):
        backbone.requires_grad_(False)
        method = subject.make(copy.deepcopy(backbone))
    return method
