"""What a method is: six hooks between a stream of tasks and one classifier over all classes seen.

The engine calls, for every task, ``begin_task``, ``prepare``, many times ``losses``, then ``end_task``; and ``forward``
at any time after the first ``begin_task``. It owns device, precision, optimiser, schedule, randomness, files and
evaluation. A method owns the mathematics and its state, all of which is in ``state_dict``.

A run is restored by construction, replaying ``begin_task`` for the tasks seen, and a strict load of ``state_dict``.
Hence only ``begin_task`` changes which keys there are. Random numbers come from torch's global generator, which the
engine seeds anew from (run seed, task, step) around every hook.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NotRequired, TypedDict

from torch import Tensor, nn

from sdlora.backbones.vit import Backbone
from sdlora.registry import Registry
from sdlora.task import Task, TaskData


class ParamGroup(TypedDict):
    """Parameters that share optimiser settings."""

    params: list[nn.Parameter]
    lr_scale: NotRequired[float]
    """Multiplies the recipe's learning rate; 1 if absent."""


Origin = Literal["samples", "features", "statistics", "weights"]
"""What a hook computed from data: pictures, features of single pictures, numbers over many of them; or weights of the
model, from which no later task is learned."""


@dataclass(frozen=True)
class Facts:
    """What is declared of a method; ``sdlora list methods`` prints it, and `sdlora.costs` measures whether it is so.

    Attributes:
        trains: What learns, in a few words.
        source: Where the method is defined.
        rehearsal_free: Learns new tasks without samples, features or statistics of old ones.
        one_pass: Test takes one forward pass of the backbone, no more.
        end_to_end: The task loss reaches everything that is trained, and what it trains is what predicts.
    """

    trains: str
    source: str
    rehearsal_free: bool
    one_pass: bool
    end_to_end: bool


class Method(nn.Module, ABC):
    """A continual learner over one backbone; abstract, and every concrete method is final.

    Attributes:
        facts: Table row of the method; of an instance, with its options.
        mergeable: Whether ``sdlora.adapters.merge`` can fold what was learned into the backbone's own weights.
        from_data: State entries that hooks compute from data, apart from what gradients learn: glob of their names to
            what they are. All but ``"weights"`` count as kept from old tasks.
        joint: Whether all tasks are trained at once, as an upper bound outside the protocol.
        num_epochs: Passes over each task that the method needs, or None for the recipe's ``optim.epochs``.
    """

    facts: Facts
    mergeable: ClassVar[bool]
    from_data: Mapping[str, Origin] = {}
    joint: ClassVar[bool] = False
    num_epochs: ClassVar[int | None] = None

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    @classmethod
    def facts_with(cls, options: Mapping[str, Any]) -> Facts:
        """Return what is declared with these arguments of the constructor. Default: `facts`."""
        return cls.facts

    @abstractmethod
    def begin_task(self, task: Task) -> None:
        """Make room for a task: add parameters, widen the head, freeze. Sees no data."""

    def prepare(self, data: TaskData) -> None:
        """Set values from the task's data before the first step. Default: nothing."""

    @abstractmethod
    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Return weighted scalar loss terms of a batch; the engine minimises their sum and logs each.

        The task loss, which compares logits with labels, is called ``"cross_entropy"``.

        Args:
            images: (N, 3, H, W), float in 0..1.
            labels: (N,) class ids of the current task.
        """

    def param_groups(self) -> list[ParamGroup]:
        """Return what the optimiser trains. Default: one group of everything with ``requires_grad``."""
        return [{"params": [p for p in self.parameters() if p.requires_grad]}]

    def end_task(self, data: TaskData) -> None:
        """Set values after the last step: freeze, class means, subspaces. Default: nothing."""

    def report(self) -> dict[str, float | list[float]]:
        """Return numbers worth a picture, such as magnitudes; logged after each task. Default: none."""
        return {}

    @abstractmethod
    def forward(self, images: Tensor) -> Tensor:
        """Return logits (N, num_seen) over all classes seen so far, each image on its own."""


METHODS: Registry[type[Method]] = Registry("method")
