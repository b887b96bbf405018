"""How to train: everything `fit` needs to know besides the method, the stream and the folder."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sdlora.errors import ConfigError

EVAL_BATCH_SIZE = 256


@dataclass(frozen=True)
class Steps:
    """A schedule that multiplies the learning rate at the start of some epochs.

    Attributes:
        epochs: When, counted from 0 in each task.
        factor: By what, each time; unitless.
    """

    epochs: tuple[int, ...]
    factor: float = 0.1


@dataclass(frozen=True, kw_only=True)
class OptimOptions:
    """The optimiser, made anew for each task.

    Attributes:
        name: Which one.
        lr: Learning rate before the schedule and a group's ``lr_scale``.
        momentum: For ``"sgd"`` alone.
        weight_decay: Added to the gradient, or decoupled for ``"adamw"``.
        schedule: ``"constant"``, ``"cosine"`` from `lr` to 0 over a task, or `Steps`.
        clip_norm: Largest Euclidean norm of all gradients together; None for no limit.
    """

    name: Literal["sgd", "adam", "adamw"] = "sgd"
    lr: float
    momentum: float = 0.0
    weight_decay: float = 0.0
    schedule: Literal["constant", "cosine"] | Steps = "constant"
    clip_norm: float | None = None

    def __post_init__(self) -> None:
        if self.momentum and self.name != "sgd":
            raise ConfigError(f"optim.momentum = {self.momentum} with optim.name = {self.name}", expected="sgd")


@dataclass(frozen=True, kw_only=True)
class FitOptions:
    """A run's options.

    Attributes:
        seed: What all randomness of the run is a function of.
        epochs: Passes over each task; a method's own `num_epochs` goes before it.
        batch_size: Images in a training step.
        optim: The optimiser.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:<n>"`` or ``"mps"``.
        precision: ``"bf16"`` runs a method's hooks under autocast; weights and optimiser stay float32.
        deterministic: Same bits on a GPU too, at some cost in speed.
        checkpoint_seconds: Shortest time between two checkpoints within a task; an epoch's end is where they are made.
        eval_batch_size: Images in a batch at test, and where a method sees its training images as at test.
        keep_task_weights: Leave what the method had learned after each task in the run folder, for ``sdlora analyze``.
    """

    seed: int
    epochs: int
    batch_size: int
    optim: OptimOptions
    device: str = "auto"
    precision: Literal["float32", "bf16"] = "float32"
    deterministic: bool = True
    checkpoint_seconds: float = 10.0
    eval_batch_size: int = EVAL_BATCH_SIZE
    keep_task_weights: bool = False
