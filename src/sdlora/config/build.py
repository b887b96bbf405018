"""The only place where names become objects."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Literal

import numpy as np

import sdlora.datasets
import sdlora.methods  # noqa: F401  both fill their registries
from sdlora.backbones.vit import Backbone, load_backbone
from sdlora.config.schema import BackboneSection, NumpyOrder, OptimSection, OrderFile, Recipe, StepsSection
from sdlora.datasets.base import DATASETS, AugmentOptions, Dataset
from sdlora.engine.options import EVAL_BATCH_SIZE, FitOptions, OptimOptions, Steps
from sdlora.methods.base import METHODS, Method
from sdlora.streams import Stream, make_stream

AUGMENT_KEYS = {field.name for field in fields(AugmentOptions)}


@dataclass(frozen=True)
class Experiment:
    """A recipe with its names made into objects.

    Attributes:
        recipe: What it was made of.
        backbone: As it was pretrained; every method gets a copy of its own.
        dataset: Its images, and how they become pictures of the backbone's size.
    """

    recipe: Recipe
    backbone: Backbone
    dataset: Dataset

    def method(self) -> Method:
        """Make the method anew; its random numbers come from torch's global generator."""
        options = self.recipe.method.model_dump(exclude={"name"})
        return METHODS.get(self.recipe.method.name)(copy.deepcopy(self.backbone), **options)

    def stream(self, seed: int) -> Stream:
        """Divide the dataset into tasks for one seed.

        Raises:
            ConfigError: If sizes or order do not fit the classes.
            DataError: If a task has no images.
        """
        section = self.recipe.stream
        return make_stream(
            self.dataset,
            num_tasks=section.num_tasks,
            task_sizes=section.task_sizes,
            class_order=self._class_order(seed),
        )

    def _class_order(self, seed: int) -> Literal["given"] | int | Sequence[str] | Path:
        order = self.recipe.stream.class_order
        if order == "seed":
            return seed
        if isinstance(order, OrderFile):
            return Path(order.file)
        if isinstance(order, NumpyOrder):
            classes = self.dataset.classes
            return [classes[index] for index in np.random.RandomState(order.numpy_seed).permutation(len(classes))]
        return order

    def options(self, seed: int) -> FitOptions:
        """Say how to train with one seed."""
        return fit_options(self.recipe, seed)

    def folder(self, seed: int) -> Path:
        """Return the run folder of one seed."""
        return Path(self.recipe.run.output_dir) / f"seed{seed}"


def build(recipe: Recipe) -> Experiment:
    """Load what a recipe names; this is where weights may be fetched and images read.

    Raises:
        ConfigError: If the backbone cannot be had by that name.
        DataError: If the dataset is not there, or not as it should be.
    """
    backbone = _backbone(recipe.backbone)
    root = Path(recipe.stream.root) if recipe.stream.root else None
    given = recipe.data.model_dump(exclude_none=True)
    augment = {key: given.pop(key) for key in AUGMENT_KEYS & given.keys()}
    dataset = DATASETS.get(recipe.stream.dataset)(root, backbone.image_size, **given)
    return Experiment(recipe, backbone, replace(dataset, default_augment=replace(dataset.default_augment, **augment)))


def _backbone(section: BackboneSection) -> Backbone:
    backbone = load_backbone(section.name, **section.options.model_dump())
    mean, std = backbone.statistics()
    backbone.normalise_by_(section.mean or mean, section.std or std)
    return backbone


def fit_options(recipe: Recipe, seed: int) -> FitOptions:
    """Say how a recipe trains with one seed."""
    run, optim = recipe.run, recipe.optim
    return FitOptions(
        seed=seed,
        epochs=optim.epochs or 0,  # absent only where the method sets its own
        batch_size=optim.batch_size,
        optim=_optim(optim),
        device=run.device,
        precision=run.precision,
        deterministic=run.deterministic,
        checkpoint_seconds=run.checkpoint_seconds,
        eval_batch_size=run.eval_batch_size or EVAL_BATCH_SIZE,
        keep_task_weights=bool(run.keep_task_weights),
    )


def _optim(section: OptimSection) -> OptimOptions:
    schedule = section.schedule
    return OptimOptions(
        name=section.name or "sgd",  # name and lr are absent only where no step is taken
        lr=section.lr or 0.0,
        momentum=section.momentum or 0.0,
        weight_decay=section.weight_decay,
        schedule=Steps(schedule.epochs, schedule.factor) if isinstance(schedule, StepsSection) else schedule,
        clip_norm=section.clip_norm,
    )
