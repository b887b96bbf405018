"""What a recipe may say: its sections, their keys, types, bounds and defaults.

Sections are strict (no text for a number, no unknown key) and frozen. Keys of ``[method]`` and of
``[backbone] options`` are not listed here: they are the keyword arguments of the thing named (`signature.py`).
Which keys go together stands in `rules.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]
Fraction = Annotated[float, Field(ge=0, le=1)]
Deviation = Annotated[float, Field(gt=0, le=1)]
NotNegative = Annotated[float, Field(ge=0)]
Device = Annotated[
    str, Field(pattern=r"^(auto|cpu|cuda(:\d{1,3})?|mps)$", description="auto, cpu, cuda, cuda:N or mps")
]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Section(BaseModel):
    """One table of a recipe."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False, protected_namespaces=())


class RunSection(Section):
    """Where and how to run.

    Attributes:
        seeds: One run for each, one after another.
        output_dir: Folder that receives ``seed<k>`` folders; relative to the working directory.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:<n>"`` or ``"mps"``.
        precision: ``"bf16"`` runs the backbone under autocast; weights and losses stay float32.
        checkpoint_seconds: Shortest time between two checkpoints within a task.
        deterministic: Same bits on a GPU too, at some cost in speed.
        eval_batch_size: Images in a batch outside training; absent, 256. It changes results only under the method
            options that let images of a batch depend on each other, ``batch_vote`` and ``port_layout``.
        keep_task_weights: Leave what was learned after each task in the run folder, for ``sdlora analyze``.
    """

    seeds: tuple[Seed, ...] = Field(
        min_length=1, max_length=1000, description="list of different integers from 0 to 4294967295"
    )
    output_dir: Name
    device: Device = "auto"
    precision: Literal["float32", "bf16"] = "float32"
    checkpoint_seconds: NotNegative = 10.0
    deterministic: bool = True
    eval_batch_size: Count | None = None  # this and the next key are absent from runs whose recipes do not name them
    keep_task_weights: bool | None = None

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(seeds)) < len(seeds):
            raise ValueError("a seed stands twice")
        return seeds


class OrderFile(Section):
    """A class order kept in a file.

    Attributes:
        file: Text file with one class name a line.
    """

    file: Name


class NumpyOrder(Section):
    """The class order that published code draws with ``numpy.random.seed`` and ``numpy.random.permutation``.

    Attributes:
        numpy_seed: Its seed.
    """

    numpy_seed: Seed


class StreamSection(Section):
    """Which classes arrive when.

    Attributes:
        dataset: A name out of ``sdlora list datasets``.
        num_tasks: Tasks of equal size; or `task_sizes`.
        task_sizes: Classes in each task.
        class_order: ``"seed"`` shuffles with the run's seed, a number with that seed, ``"given"`` keeps the dataset's;
            or all class names, a file of them, or the order of published code.
        root: Folder that holds the dataset; absent, where the dataset keeps itself.
    """

    dataset: Name
    num_tasks: Count | None = None
    task_sizes: tuple[Count, ...] | None = Field(default=None, min_length=1)
    class_order: Seed | Literal["seed", "given"] | tuple[Name, ...] | OrderFile | NumpyOrder = "seed"
    root: Name | None = None


class DataSection(Section):
    """How images are seen: keyword arguments of `AugmentOptions` and of the dataset; absent ones are the dataset's."""


class BackboneSection(Section):
    """Which pretrained model.

    Attributes:
        name: A name out of ``sdlora list backbones``; a timm name needs its weight tag.
        mean: Of each channel, fraction, subtracted from images in 0..1; absent, what the model was pretrained with.
        std: Of each channel, fraction, by which the rest is divided; absent, likewise. Much published code leaves
            images in 0..1: mean 0, std 1.
        options: Keyword arguments of the backbone's constructor, for backbones that take any.
    """

    name: Name
    mean: tuple[Fraction, Fraction, Fraction] | None = None
    std: tuple[Deviation, Deviation, Deviation] | None = None
    options: Section = Section()


class MethodSection(Section):
    """Which method; beside its name stand the keyword arguments of its constructor.

    Attributes:
        name: A name out of ``sdlora list methods``.
    """

    name: Name


class AnyMethod(MethodSection):
    """Stands in for the section of a method that nobody knows: its keys cannot be checked."""

    model_config = ConfigDict(extra="ignore")


class AnyData(DataSection):
    """Stands in for the section of a dataset that nobody knows: its keys cannot be checked."""

    model_config = ConfigDict(extra="ignore")


class StepsSection(Section):
    """Learning rate times `factor` at the start of some epochs.

    Attributes:
        epochs: Which, counted from 0 in each task.
        factor: What it is multiplied by each time, unitless.
    """

    epochs: tuple[Count, ...] = Field(min_length=1)
    factor: Annotated[float, Field(gt=0, le=1)]


class OptimSection(Section):
    """How to train; a method that trains nothing takes `batch_size` alone (`rules.py`).

    Attributes:
        name: Optimiser, made anew for each task.
        lr: Learning rate at the start of each task.
        momentum: Of ``"sgd"`` alone.
        weight_decay: Coefficient; decoupled from the gradient for ``"adamw"``.
        schedule: ``"constant"``, ``"cosine"`` down to 0 over the task, or `StepsSection`.
        epochs: Passes over each task, where the method does not set them.
        batch_size: Images in a step, over all processes.
        clip_norm: Largest norm of the gradient; absent, no limit.
    """

    name: Literal["sgd", "adam", "adamw"] | None = None
    lr: Positive | None = None
    momentum: Share | None = None
    weight_decay: Share = 0.0
    schedule: Literal["constant", "cosine"] | StepsSection = "constant"
    epochs: Count | None = None
    batch_size: Count
    clip_norm: Positive | None = None


class Recipe(Section):
    """A whole recipe, checked and complete; `check` makes one whose sections have the keys of what they name.

    Attributes:
        run: Where and how to run.
        stream: Which classes arrive when.
        data: How images are seen.
        backbone: Which pretrained model.
        method: Which method, with what options.
        optim: How to train.
    """

    run: RunSection
    stream: StreamSection
    data: DataSection = DataSection()
    backbone: BackboneSection
    method: MethodSection
    optim: OptimSection
