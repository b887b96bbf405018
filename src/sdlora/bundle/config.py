"""What a bundle says about itself: one JSON document a generation, checked strictly before anything is believed.

The document is the same in ``history/<generation>.json``, which counts, and in ``config.json``, which is for people.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

FORMAT: Literal[1] = 1
MAX_NAME_BYTES = 200
MAX_CLASSES = 20_000
MAX_MEASURED = 20  # data sets; the oldest goes
MAX_OPTION = 2**16  # no rank, length or width of a method comes near; a hostile one would ask for all memory
MAX_OPTION_LENGTH = 1000

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=2**53)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME_BYTES)]
Value = bool | int | float | str | None


class Part(BaseModel):
    """A part of the document: unknown keys and other types are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


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


class BackboneSource(Part):
    """Which pretrained weights the adapters belong to.

    Attributes:
        name: As `sdlora.backbones.vit.load_backbone` takes it; with its weight tag.
        sha256: Of the pretrained weights.
    """

    name: Name
    sha256: Sha256


class MethodSource(Part):
    """Which method has learned, with the arguments of its constructor.

    Attributes:
        name: As ``sdlora list methods`` shows it.
        options: The arguments that were given; the others have their defaults.
    """

    name: Name
    options: dict[Name, Value | tuple[Value | tuple[Value, ...], ...]] = {}

    @field_validator("options")
    @classmethod
    def _bounded(cls, options: dict[str, Any]) -> dict[str, Any]:
        for name, value in options.items():
            if isinstance(value, int | float) and abs(value) > MAX_OPTION:
                raise ValueError(f"{name} = {value} is beyond {MAX_OPTION}")
            if isinstance(value, str | tuple) and len(value) > MAX_OPTION_LENGTH:
                raise ValueError(f"{name} is longer than {MAX_OPTION_LENGTH}")
        return options


class Preprocessing(Part):
    """How an image becomes what the backbone sees.

    The shorter side is resized to int(image_size / test_crop) pixels, the central square of `image_size` pixels is
    kept, its values are divided by 255, and each channel is normalised: (value - mean) / std.

    Attributes:
        image_size: Side of the square, pixels.
        test_crop: Side of the square as a fraction of the shorter side.
        crop_scale: Smallest and largest area of a training crop, fractions of the image.
        crop_ratio: Smallest and largest width over height of a training crop.
        flip: Whether half of the training crops are mirrored.
        mean: Of each channel, fraction.
        std: Of each channel, fraction.
    """

    image_size: Annotated[int, Field(ge=8, le=4096)]
    test_crop: Annotated[float, Field(gt=0, le=1)]
    crop_scale: tuple[Annotated[float, Field(gt=0, le=1)], Annotated[float, Field(gt=0, le=1)]]
    crop_ratio: tuple[Annotated[float, Field(gt=0, le=100)], Annotated[float, Field(gt=0, le=100)]]
    flip: bool
    mean: Annotated[tuple[Share, ...], Field(min_length=3, max_length=3)]
    std: Annotated[tuple[Annotated[float, Field(gt=0, le=1)], ...], Field(min_length=3, max_length=3)]


class Retest(Part):
    """Accuracy on images of earlier lessons, before and after a lesson.

    Attributes:
        name: What the folder is called, without the path to it.
        classes: How many of the model's classes it shows.
        num_images: Images in it.
        before: Accuracy of the model as it was, fraction.
        after: Accuracy with the lesson learned, fraction.
    """

    name: Name
    classes: Count
    num_images: Count
    before: Share
    after: Share


class Weakest(Part):
    """The class of a lesson with the lowest held-out accuracy.

    Attributes:
        label: Its name.
        accuracy: Fraction.
        taken_for: What it is most often taken for; None if never for anything else.
    """

    label: Name
    accuracy: Share
    taken_for: Name | None


class MeasuredTask(Part):
    """How well the classes of one lesson are told from all others.

    Attributes:
        task: The lesson.
        num_images: Images of its classes.
        accuracy: On these, fraction.
    """

    task: Annotated[int, Field(ge=1)]
    num_images: Count
    accuracy: Share


class Measurement(Part):
    """Accuracy of a generation's weights on labelled images, among all classes it knows.

    Attributes:
        name: What the data are called, without the path to them.
        sha256: Over pixels and labels of the images, in order.
        num_images: Images that were classified.
        accuracy: Fraction.
        tasks: By lesson, those of which there were images.
        date: Day, ISO 8601, UTC.
    """

    name: Name
    sha256: Sha256
    num_images: Annotated[int, Field(ge=1, le=2**53)]
    accuracy: Share
    tasks: Annotated[tuple[MeasuredTask, ...], Field(min_length=1)]
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]


class TaskRecord(Part):
    """One lesson, as it was on its day.

    Attributes:
        task: Its number, from 1.
        classes: Names of the classes it added, in the order of the model's outputs.
        updated: Names of known classes that it taught again.
        num_images: Images in all, readable ones.
        num_held_out: How many of them were held out.
        held_out_accuracy: On these, among all classes known after the lesson, fraction; None if there were none.
        weakest: The class that came out worst; None if nothing was held out.
        retests: What was measured on folders of earlier classes.
        skipped: Unreadable files left out.
        epochs: Passes over the images; 0 where nothing was trained.
        is_imprinted: Whether its one class was written into the head instead of trained.
        seconds: Duration.
        date: Day, ISO 8601, UTC.
        weights: sha256 of the weights after the lesson.
    """

    task: Annotated[int, Field(ge=1)]
    classes: tuple[Name, ...]
    updated: tuple[Name, ...] = ()
    num_images: Count
    num_held_out: Count
    held_out_accuracy: Share | None
    weakest: Weakest | None = None
    retests: tuple[Retest, ...] = ()
    skipped: Count = 0
    epochs: Count
    is_imprinted: bool = False
    seconds: Annotated[float, Field(ge=0)]
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")]
    weights: Sha256

    @model_validator(mode="after")
    def _check_imprint(self) -> TaskRecord:
        if self.is_imprinted and len(self.classes) != 1:
            raise ValueError(f"{len(self.classes)} classes were written into the head; that is done with one")
        return self

    def __str__(self) -> str:
        return repr(self)

    def __repr__(self) -> str:
        accuracy = self.held_out_accuracy
        held_out = "nothing held out" if accuracy is None else f"held-out {100 * accuracy:.1f} %"
        classes = f"{len(self.classes)} class{'es'[: 2 * (len(self.classes) != 1)]}"
        return f"TaskRecord({self.task}: {classes}, {self.num_images} images, {held_out}, {self.seconds:.0f} s)"


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
        format: Version of this document and of the folder around it.
        sdlora: Version of the package that wrote it.
        generation: Its number, from 1; every change of the bundle adds one.
        previous: Generation that holds the state before the last lesson, for `sdlora.bundle.undo`; None if there is
            none.
        weights: The file with the tensors.
    """

    format: Literal[1] = FORMAT
    sdlora: Name
    generation: Annotated[int, Field(ge=1, le=2**53)]
    previous: Annotated[int, Field(ge=1, le=2**53)] | None
    weights: Weights

    @property
    def version(self) -> str:
        """Generation and the first four digits of the weights' sha256, such as ``"3-7d1e"``."""
        return f"{self.generation}-{self.weights.sha256[:4]}"


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


def bad_class_name(name: str) -> str | None:
    """Say why `name` cannot be the name of a class, or return None if it can.

    Example:
        >>> bad_class_name("../rose")
        'holds a path separator'
    """
    if not name.strip() or name in (".", ".."):
        return "is no name"
    if "/" in name or "\\" in name:
        return "holds a path separator"
    if not name.isprintable():
        return "holds control characters"
    if len(name.encode(errors="surrogatepass")) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in Unicode's composed form (NFC)"
    return None


def case_twins(names: Sequence[str], others: Sequence[str]) -> Mapping[str, str]:
    """Return each of `names` that equals one of `others` but for upper and lower case, with that one."""
    folded = {other.casefold(): other for other in others}
    return {name: twin for name in names if (twin := folded.get(name.casefold())) is not None and name not in others}
