"""Read a recipe: TOML in, a checked `Recipe` out, or one error that lists all its problems."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

from sdlora.config.check import check
from sdlora.config.find import find_recipe
from sdlora.config.lines import key_lines
from sdlora.config.override import override, read_override
from sdlora.config.problems import recipe_error
from sdlora.config.schema import Recipe
from sdlora.errors import ConfigError

MOST_BYTES = 64_000
MOST_DEPTH = 32


def load_recipe(source: str, overrides: Sequence[str] = ()) -> Recipe:
    """Read, override and check a recipe.

    Args:
        source: A path, or the name of a shipped recipe.
        overrides: Changes, each ``section.key=value``.

    Raises:
        ConfigError: If anything is wrong with it; the message lists everything.
    """
    path = find_recipe(source)
    try:
        with path.open("rb") as file:
            data = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error
    return parse_recipe(data, overrides, name=source)


def parse_recipe(data: bytes, overrides: Sequence[str] = (), *, name: str) -> Recipe:
    """Check a recipe given as bytes; `name` is what errors call it.

    Raises:
        ConfigError: If anything is wrong with it; the message lists everything.
    """
    document = read_document(data, name)
    changes = dict(read_override(text) for text in overrides)
    override(document, changes)
    recipe, problems = check(document)
    if recipe is None:
        raise recipe_error(name, problems, key_lines(data.decode()), set(changes))
    return recipe


def read_document(data: bytes, name: str) -> dict[str, Any]:
    """Return the tables of a TOML text of bounded size and depth; nothing in them is checked.

    Raises:
        ConfigError: If it is not such a text.
    """
    if len(data) > MOST_BYTES:
        raise ConfigError(f"{name} is larger than {MOST_BYTES:,} bytes", expected="a recipe, which is far smaller")
    try:
        document = tomllib.loads(data.decode())
    except RecursionError:
        raise _too_deep(name) from None
    except ValueError as error:  # no UTF-8, no TOML, or a number of thousands of digits
        raise ConfigError(
            f"{name} is no TOML: {error}", expected='sections and lines such as name = "sdlora"'
        ) from None
    if _deeper(document, MOST_DEPTH):
        raise _too_deep(name)
    return document


def _too_deep(name: str) -> ConfigError:
    return ConfigError(f"{name} is nested deeper than {MOST_DEPTH} levels", expected="sections with keys")


def _deeper(value: Any, levels: int) -> bool:
    """Whether tables and lists are nested in each other more than `levels` deep."""
    if not isinstance(value, dict | list):
        return False
    parts = value.values() if isinstance(value, Mapping) else value
    return levels == 0 or any(_deeper(part, levels - 1) for part in parts)
