"""How a lesson is trained when nobody says how.

Optimiser, learning rate and batch are what the shipped recipes were tuned to (docs/benchmark.md). What a lesson adds is
a number of epochs that suits the number of its images (docs/lab_log.md, "Lessons of few images").
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from sdlora.backbones.vit import SHIPPED, UNTRAINED
from sdlora.bundle import Description
from sdlora.config.build import fit_options
from sdlora.config.find import shipped_recipes
from sdlora.config.load import load_recipe
from sdlora.datasets.base import AugmentOptions
from sdlora.datasets.glyph_streams import AUGMENT
from sdlora.engine import FitOptions
from sdlora.engine.device import choose_device
from sdlora.methods import METHODS, Method

FOR_LETTERS = ("glyphs100_10",)
FOR_PHOTOS = ("reproduce/imagenet_r_10", "paper/imagenet_r_10", "glyphs100_10")
"""Folders of recipes, the first that has one for the method counts."""

HEAD, LAYERS, MAX_FEATURES, ADAPT_TASKS = "discriminant", "all", 2048, 1
"""Options of a method whose head can be solved, unless they are given (docs/lab_log.md, "Lessons with the discriminant
head"): it is solved, on features of all blocks, and only the first lesson changes the features."""

STEPS = 100  # of a lesson, about; a lesson of many images takes more, for it sees each at least FEWEST_EPOCHS times
FEWEST_EPOCHS, MOST_EPOCHS = 4, 50


def method_options(method: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a new learner's method: those given, and those that solve its head where it can be solved.

    Args:
        method: Its name.
        given: What the user chose; ``head="linear"`` gives the head that is trained.
    """
    if not has_heads(METHODS.get(method)):
        return dict(given)
    usual: dict[str, Any] = {"head": HEAD}
    if given.get("head", HEAD) != "linear":
        known = inspect.signature(METHODS.get(method)).parameters
        if "max_features" in known:  # `layers` is another thing where it is not
            usual["layers"] = LAYERS
        if "max_features" in known and given.get("layers", LAYERS) is not None:
            usual["max_features"] = MAX_FEATURES
        if "adapt_tasks" in known:
            usual["adapt_tasks"] = ADAPT_TASKS
    return {**usual, **given}


def has_heads(kind: type[Method]) -> bool:
    """Whether a method can have its head solved."""
    return "head" in inspect.signature(kind).parameters


def lesson_options(backbone: str, method: str, *, seed: int, device: str) -> FitOptions:
    """Return how to train a lesson, except for its epochs.

    Args:
        backbone: Its name: the shipped one takes what was tuned on letters, others what was published for photographs.
        method: Its name.
        seed: Of the learner.
        device: As asked for.
    """
    folders = FOR_LETTERS if backbone in (SHIPPED, UNTRAINED) else FOR_PHOTOS
    shipped = shipped_recipes()
    name = next(f"{folder}/{method}" for folder in folders if f"{folder}/{method}" in shipped)
    precision: Literal["bf16", "float32"] = "bf16" if choose_device(device) == "cuda" else "float32"
    return replace(fit_options(load_recipe(name), seed), device=device, precision=precision, deterministic=False)


def default_epochs(num_images: int, batch_size: int) -> int:
    """Return how often to pass over the images of a lesson.

    Args:
        num_images: What is learned from.
        batch_size: Images in a step.
    """
    steps_per_epoch = max(1, -(-num_images // batch_size))
    return min(max(round(STEPS / steps_per_epoch), FEWEST_EPOCHS), MOST_EPOCHS)


def augment_for(backbone: str) -> AugmentOptions:
    """Return how images become squares: a mirrored or cropped letter is another letter, a photograph stays one."""
    return AUGMENT if backbone in (SHIPPED, UNTRAINED) else AugmentOptions()


def augment_of(description: Description | None, backbone: str) -> AugmentOptions:
    """Return how images became squares in the lessons so far, or what is usual for the backbone before the first."""
    if description is None:
        return augment_for(backbone)
    said = description.preprocessing
    return AugmentOptions(
        crop_scale=said.crop_scale, crop_ratio=said.crop_ratio, flip=said.flip, test_crop=said.test_crop
    )
