"""Small bundles for tests: descriptions and tensors without a model behind them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from vits import own_vit

from sdlora.backbones.builder import blueprint_of
from sdlora.backbones.vit import backbone_of
from sdlora.bundle import BackboneSource, Base, Description, MethodSource, Preprocessing, TaskRecord
from sdlora.files import digest, tensor_bytes


def record(task: int, classes: tuple[str, ...], **fields: object) -> TaskRecord:
    """Return a lesson; the weights' digest is made up of its number."""
    known = {
        "num_images": 20,
        "num_held_out": 4,
        "held_out_accuracy": 0.75,
        "epochs": 3,
        "seconds": 1.5,
        "date": "2026-09-02",
        "weights": digest(str(task).encode()),
    }
    return TaskRecord(task=task, classes=classes, **(known | fields))


def description(*lessons: tuple[str, ...] | TaskRecord) -> Description:
    """Return a description with the given lessons."""
    return Description(
        seed=0,
        backbone=BackboneSource(name="untrained_vit", sha256="0" * 64),
        method=MethodSource(name="probe", options={}),
        preprocessing=Preprocessing(
            image_size=16,
            test_crop=1.0,
            crop_scale=(0.7, 1.0),
            crop_ratio=(0.9, 1.1),
            flip=False,
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
        ),
        tasks=tuple(
            lesson if isinstance(lesson, TaskRecord) else record(number, lesson)
            for number, lesson in enumerate(lessons, start=1)
        ),
    )


@cache
def base(seed: int = 0) -> tuple[Base, bytes]:
    """Return a backbone that no name leads to, and the file of its weights."""
    model = backbone_of(own_vit(seed)).model
    data = tensor_bytes(model.state_dict())
    sha256 = digest(data)
    return Base(
        file=f"base-{sha256[:16]}.safetensors", size=len(data), sha256=sha256, blueprint=blueprint_of(model)
    ), data


def with_base(made: Description, seed: int = 0) -> Description:
    """Return a description whose backbone is to lie in the bundle."""
    return made.model_copy(update={"backbone": BackboneSource(name="own", sha256="0" * 64, base=base(seed)[0])})


def give_base(seed: int = 0) -> bytes:
    """Return the file of that backbone."""
    return base(seed)[1]


def tensors(value: float = 0.0, size: int = 5) -> dict[str, Tensor]:
    """Return weights that carry `value`."""
    return {"head.weight": torch.full((2, size), float(value)), "head.bias": torch.full((2,), float(value))}


def contents(folder: Path) -> dict[str, bytes]:
    """Return every file of a folder but the lock, by its path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def newest(folder: Path) -> Path:
    """Return the document of a bundle's newest generation."""
    return folder / "history" / f"{max(int(file.stem) for file in (folder / 'history').iterdir())}.json"
