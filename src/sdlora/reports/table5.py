"""Table 5 of the paper, measured: what every method takes on ViT-B/16 after 20 tasks of 10 classes.

Source: arXiv 2501.13198, Table 5: GFLOPs at test, learnable parameters and stored features in millions.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from sdlora.backbones.blank import blank_vit
from sdlora.config.find import shipped_recipes
from sdlora.config.load import load_recipe
from sdlora.costs.footprint import Footprint, footprint
from sdlora.methods import METHODS
from sdlora.task import Task

BACKBONE = "vit_base_patch16_224"
NUM_TASKS, NUM_CLASSES = 20, 10  # ImageNet-R, N = 20
SETTINGS = "paper/imagenet_r_20/"
"""Recipes that say what options a method has here; one without a recipe has its defaults."""

PAPER = {
    "l2p": (70.14, 0.48, 0.0),
    "dualprompt": (70.26, 0.06, 0.0),
    "coda_prompt": (70.61, 0.38, 0.0),
    "hide_prompt": (70.36, 0.08, 0.15),
    "inflora": (35.12, 0.37, 0.10),
    "sdlora": (35.12, 0.37, 0.0),
    "sdlora_rr": (35.12, 0.23, 0.0),
}


@dataclass(frozen=True)
class CostRow:
    """One method, or variant of one, at the scale of the table.

    Attributes:
        name: Of the method, or of the recipe of a variant.
        method: Of the method.
        options: What differs from its defaults.
        footprint: What it takes.
        paper: GFLOPs, millions of learnable parameters and of stored features in the paper, if it has them.
    """

    name: str
    method: str
    options: dict[str, Any]
    footprint: Footprint
    paper: tuple[float, float, float] | None


def settings() -> dict[str, tuple[str, dict[str, Any]]]:
    """Return method and options of every row by name: all methods, and the variants that have a recipe."""
    found: dict[str, tuple[str, dict[str, Any]]] = {name: (name, {}) for name in METHODS}
    for recipe in shipped_recipes():
        if recipe.startswith(SETTINGS):
            section = load_recipe(recipe).method
            options = section.model_dump(exclude={"name"}, exclude_unset=True)
            found[recipe.removeprefix(SETTINGS)] = (section.name, options)
    return dict(sorted(found.items()))


def measure_table5(names: Iterable[str] | None = None) -> Iterator[CostRow]:
    """Measure rows of the table one by one, about a second each on a CPU; no weights are fetched.

    Args:
        names: Some of `settings`; all when absent.
    """
    known, plain = settings(), blank_vit(BACKBONE)
    for name in known if names is None else names:
        method, options = known[name]
        made = METHODS.get(method)(copy.deepcopy(plain), **options)
        yield CostRow(name, method, options, footprint(made, _tasks(joint=made.joint)), PAPER.get(name))


def _tasks(*, joint: bool) -> list[Task]:
    if joint:
        return [Task(0, tuple(str(k) for k in range(NUM_TASKS * NUM_CLASSES)), 0)]
    starts = range(0, NUM_TASKS * NUM_CLASSES, NUM_CLASSES)
    return [Task(i, tuple(str(start + k) for k in range(NUM_CLASSES)), start) for i, start in enumerate(starts)]
