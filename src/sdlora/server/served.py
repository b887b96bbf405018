"""The model that answers, and the folder it comes from: another generation in the folder takes over by itself."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdlora.errors import BundleError, SDLoRAError

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0  # between two looks at the folder


@dataclass(frozen=True)
class ServedModel:
    """A taught model, never changed while it is served.

    Attributes:
        version: What it is called in answers.
        classes: Class names, in the order of the columns of `probabilities`; none before the first lesson.
        tasks: Which lesson taught each class, from 1.
        image_size: Side of its pictures, pixels.
        test_crop: That side as a fraction of the shorter side of an image.
        probabilities: From uint8 (N, image_size, image_size, 3) to float32 (N, num_seen); may be called from one
            thread at a time.
        lessons: What `/v1/model` tells of each lesson.
        facts: What else it tells: method, backbone, device.
    """

    version: str
    classes: tuple[str, ...]
    tasks: tuple[int, ...]
    image_size: int
    test_crop: float
    probabilities: Callable[[Tensor], NDArray[np.float32]]
    lessons: tuple[dict[str, Any], ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def input(self) -> tuple[int, float]:
        """What a picture must be like; it may not change while pictures wait."""
        return self.image_size, self.test_crop


LoadModel = Callable[[Path], ServedModel]


class Served:
    """Follows a bundle.

    Args:
        path: The bundle.
        load: Reads it.
        num_warm_up: Pictures in the largest batch, tried once before a model takes over.

    Attributes:
        model: What answers.
        trouble: Why the newest generation does not answer, or None.
        changed: When the model was last replaced, ISO 8601, UTC; None if it never was.
        warm_up_seconds: How long reading and trying it took.

    Raises:
        BundleError: If the folder holds no usable bundle.
    """

    def __init__(self, path: Path, load: LoadModel, num_warm_up: int) -> None:
        self.path, self._load, self._num_warm_up = path, load, num_warm_up
        self.trouble: str | None = None
        self.changed: str | None = None
        self._generation = newest_generation(path)
        self.model = self._prepare()
        self._reading = asyncio.Lock()

    async def follow(self, swap: Callable[[ServedModel], None]) -> None:
        """Look at the folder for ever; hand each new model to `swap` when it is ready to answer."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            await self.refresh(swap)

    async def refresh(self, swap: Callable[[ServedModel], None]) -> None:
        """Take over what the folder holds now, if that is another generation."""
        async with self._reading:
            generation = await asyncio.to_thread(newest_generation, self.path)
            if generation == self._generation:
                return
            self._generation = generation
            try:
                model = await asyncio.to_thread(self._prepare)
                if self.model.classes and model.input != self.model.input:
                    raise BundleError(f"{self.path} now holds another kind of model", fix="start the server again")
            except (SDLoRAError, ValueError) as error:
                self.trouble = str(error)
                log.error("version %s goes on answering: %s", self.model.version, error)
                return
            self.trouble = None
            self.model = model
            self.changed = datetime.now(UTC).isoformat(timespec="seconds")
            swap(model)

    def _prepare(self) -> ServedModel:
        started = time.monotonic()
        model = self._load(self.path)
        if model.classes:
            side = model.image_size
            for count in {1, self._num_warm_up}:
                model.probabilities(torch.zeros((count, side, side, 3), dtype=torch.uint8))
        self.warm_up_seconds = time.monotonic() - started
        return model


def newest_generation(path: Path) -> int:
    """Return the number of a bundle's newest generation, 0 without one."""
    newest = 0
    with suppress(OSError):
        for entry in (path / "history").iterdir():
            stem, _, suffix = entry.name.partition(".")
            if suffix == "json" and stem.isdigit():
                newest = max(newest, int(stem))
    return newest


def load_bundle(path: Path, *, device: str = "auto", may_be_new: bool = False) -> ServedModel:
    """Read the newest generation of a bundle.

    Args:
        path: The bundle.
        device: Where it is to compute.
        may_be_new: Whether a folder that is not there yet is a model without classes.

    Raises:
        BundleError: If it is missing or damaged.
    """
    from sdlora.bundle import read_config
    from sdlora.learner import Learner
    from sdlora.learner.summary import advice_on, by_lesson

    if may_be_new and not path.exists():
        return untaught()
    config = read_config(path)
    learner = Learner.load(path, device=device)
    if learner.model_version != config.version:  # taught between the two lines
        return load_bundle(path, device=device)
    magnitudes = by_lesson(learner, "magnitudes") or [None] * len(config.tasks)
    lessons = tuple(
        {**task.model_dump(mode="json"), "magnitude": magnitude, "advice": advice_on(learner, task)}
        for task, magnitude in zip(config.tasks, magnitudes, strict=True)
    )
    return ServedModel(
        version=config.version,
        classes=learner.classes,
        tasks=tuple(config.task_of(label) for label in learner.classes),
        image_size=config.preprocessing.image_size,
        test_crop=config.preprocessing.test_crop,
        probabilities=learner.probabilities,
        lessons=lessons,
        facts={
            "method": config.method.name,
            "backbone": config.backbone.name,
            "sdlora": config.sdlora,
            "device": str(next(learner.method.parameters()).device),
            "bytes": config.weights.size,
            "can_undo": config.previous is not None,
        },
    )


def untaught() -> ServedModel:
    """Return the model that knows no class."""

    def refuse(batch: Tensor) -> NDArray[np.float32]:
        raise BundleError("nothing was taught yet")

    return ServedModel("0", (), (), 1, 1.0, refuse, facts={"can_undo": False})
