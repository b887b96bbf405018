"""What a bundle says about itself: one JSON document a generation, checked strictly before anything is believed.

The document is the same in ``history/<generation>.json``, which counts, and in ``config.json``, which is for people.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from sdlora.bundle.names import bad_class_name
from sdlora.bundle.part import Name, Part, Sha256
from sdlora.bundle.records import Measurement, TaskRecord
from sdlora.bundle.source import BackboneSource, MethodSource, Preprocessing
from sdlora.files import digest, json_bytes

FORMAT = 2  # the first one cannot hold a backbone, and is written where there is none
MAX_CLASSES = 20_000
MAX_MEASURED = 20  # data sets; the oldest goes


class Weights(Part):
    """The file that holds adapters and head.

    Attributes:
        file: Its name in the bundle.
        size: Bytes.
        sha256: Of these bytes.
    """

    file: Annotated[str, Field(pattern=r"^model-[0-9a-f]{16}\.safetensors$")]
    size: Annotated[int, Field(ge=8, le=2**40)]
    sha256: Sha256


class Description(Part):
    """What a learner knows about itself; `sdlora.bundle.commit_lesson` adds where and in which file.

    Attributes:
        seed: What all its randomness is a function of.
        backbone: Which pretrained weights.
        method: Which method.
        preprocessing: How images are seen.
        tasks: The lessons, in order.
        measured: What was measured since the last of them, each data set once.
    """

    seed: Annotated[int, Field(ge=0, le=2**63 - 1)]
    backbone: BackboneSource
    method: MethodSource
    preprocessing: Preprocessing
    tasks: Annotated[tuple[TaskRecord, ...], Field(min_length=1)]
    measured: Annotated[tuple[Measurement, ...], Field(max_length=MAX_MEASURED)] = ()

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of all classes in the order of the outputs; a lesson only ever appends to it."""
        return tuple(name for task in self.tasks for name in task.classes)

    def task_of(self, label: str) -> int:
        """Return the number of the lesson that taught a class, from 1."""
        return next(task.task for task in self.tasks if label in task.classes)

    def continues(self, other: Description) -> bool:
        """Whether the lessons of another description are the first of these; names may have changed since."""
        return [task.weights for task in other.tasks] == [task.weights for task in self.tasks[: len(other.tasks)]]

    @model_validator(mode="after")
    def _check_classes(self) -> Description:
        classes = self.classes
        if len(classes) > MAX_CLASSES:
            raise ValueError(f"{len(classes)} classes, more than {MAX_CLASSES}")
        for name in classes:
            if problem := bad_class_name(name):
                raise ValueError(f"class {name!r} {problem}")
        if len(set(classes)) != len(classes):
            raise ValueError("a class is there twice")
        if [task.task for task in self.tasks] != list(range(1, len(self.tasks) + 1)):
            raise ValueError("the lessons are not numbered 1, 2, ...")
        return self


class BundleConfig(Description):
    """One generation of a bundle.

    Attributes:
        format: Version of this document and of the folder around it: 2 where a backbone is in it, else 1.
        sdlora: Version of the package that wrote it.
        generation: Its number, from 1; every change of the bundle adds one.
        previous: Generation that holds the state before the last lesson, for `sdlora.bundle.undo`; None if there is
            none.
        weights: The file with the tensors.
        sha256: Of the rest of the document, by `seal`; None in the first ones.
    """

    format: Literal[1, 2] = 1
    sdlora: Name
    generation: Annotated[int, Field(ge=1, le=2**53)]
    previous: Annotated[int, Field(ge=1, le=2**53)] | None
    weights: Weights
    sha256: Sha256 | None = None

    @model_validator(mode="after")
    def _check_format(self) -> BundleConfig:
        if self.format != format_of(self):
            raise ValueError(f"format {self.format} is written of another kind of backbone")
        return self

    @model_validator(mode="after")
    def _check_previous(self) -> BundleConfig:
        if self.previous is not None and self.previous >= self.generation:
            raise ValueError(f"generation {self.previous} cannot come before generation {self.generation}")
        return self

    @property
    def files(self) -> tuple[str, ...]:
        """Names of the files with tensors that it needs."""
        base = self.backbone.base
        return (self.weights.file,) if base is None else (self.weights.file, base.file)

    @property
    def version(self) -> str:
        """Generation and the first four digits of the weights' sha256, such as ``"3-7d1e"``."""
        return f"{self.generation}-{self.weights.sha256[:4]}"


def format_of(description: Description) -> Literal[1, 2]:
    """Return the lowest format that can hold a description, so that every sdlora that can read it does."""
    return 1 if description.backbone.base is None else 2


def seal(document: Mapping[str, Any]) -> str:
    """Return the sha256 of a document without that entry; spaces and line ends do not count."""
    return digest(json_bytes({key: value for key, value in document.items() if key != "sha256"}))


def with_names(description: Description, names: Mapping[str, str]) -> Description:
    """Return a description in which classes have other names; what is not in `names` keeps its own."""

    def new(label: str) -> str:
        return names.get(label, label)

    def renamed(task: TaskRecord) -> TaskRecord:
        weakest = task.weakest and task.weakest.model_copy(
            update={
                "label": new(task.weakest.label),
                "taken_for": None if task.weakest.taken_for is None else new(task.weakest.taken_for),
            }
        )
        classes, updated = tuple(map(new, task.classes)), tuple(map(new, task.updated))
        return task.model_copy(update={"classes": classes, "updated": updated, "weakest": weakest})

    fields = {name: getattr(description, name) for name in Description.model_fields}
    return Description(**fields | {"tasks": tuple(map(renamed, description.tasks))})
