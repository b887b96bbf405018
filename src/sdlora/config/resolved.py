"""A checked recipe as a document again: every default written out, nothing that would mean nothing."""

from __future__ import annotations

from typing import Any

from sdlora.config.rules import TRAINING_KEYS
from sdlora.config.schema import Recipe
from sdlora.config.write import to_toml
from sdlora.methods.base import METHODS


def resolved(recipe: Recipe) -> dict[str, dict[str, Any]]:
    """Return the tables of a recipe; `parse_recipe` makes an equal recipe of them."""
    document: dict[str, dict[str, Any]] = {}
    for name, table in recipe.model_dump(exclude_none=True).items():
        if table:
            document[name] = {key: value for key, value in table.items() if value != {}}
    if METHODS.get(recipe.method.name).num_epochs == 0:
        for key in TRAINING_KEYS:
            document["optim"].pop(key, None)
    return document


def recipe_toml(recipe: Recipe, seed: int | None = None) -> str:
    """Write a recipe as TOML, for one of its seeds if `seed` is given."""
    document = resolved(recipe)
    if seed is not None:
        document["run"]["seeds"] = [seed]
    return to_toml(document)
