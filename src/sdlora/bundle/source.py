"""What a model is made from: which backbone, which method, and how images are seen."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, SerializerFunctionWrapHandler, field_validator, model_serializer, model_validator

from sdlora.backbones.blueprint import AnyBlueprint
from sdlora.bundle.part import Name, Part, Sha256, Share

MAX_OPTION = 2**16  # no rank, length or width of a method comes near; a hostile one would ask for all memory
MAX_OPTION_LENGTH = 1000

Value = bool | int | float | str | None


class Base(Part):
    """A backbone that no name leads to, in the bundle itself.

    Attributes:
        file: Name of the file with its weights in the bundle.
        size: Bytes of it.
        sha256: Of these bytes.
        blueprint: What to build around them.
    """

    file: Annotated[str, Field(pattern=r"^base-[0-9a-f]{16}\.safetensors$")]
    size: Annotated[int, Field(ge=8, le=2**40)]
    sha256: Sha256
    blueprint: AnyBlueprint


class BackboneSource(Part):
    """Which pretrained weights the adapters belong to.

    Attributes:
        name: As `sdlora.backbones.vit.load_backbone` takes it, with its weight tag; what its owner calls it where
            there is a base.
        sha256: Of the pretrained weights.
        base: The backbone itself where no name leads to it; else None, and not in the document.
    """

    name: Name
    sha256: Sha256
    base: Base | None = None

    @model_validator(mode="after")
    def _check_name(self) -> BackboneSource:
        if self.base is not None and not self.name.isprintable():
            raise ValueError("the name holds control characters")
        return self

    @model_serializer(mode="wrap")
    def _without_nothing(self, whole: SerializerFunctionWrapHandler) -> dict[str, Any]:
        document: dict[str, Any] = whole(self)
        return document if self.base is not None else {"name": document["name"], "sha256": document["sha256"]}


class MethodSource(Part):
    """Which method has learned, with the arguments of its constructor.

    Attributes:
        name: As ``sdlora list methods`` shows it.
        options: The arguments that were given; the others have their defaults.
    """

    name: Name
    options: dict[Name, Value | tuple[Value | tuple[Value, ...], ...]] = Field(default_factory=dict)

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
