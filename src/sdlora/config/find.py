"""Recipes by path or by shipped name, such as ``glyphs100_10/sdlora``."""

from __future__ import annotations

import os
from pathlib import Path

from sdlora.errors import ConfigError
from sdlora.registry import nearest

PACKAGE = Path(__file__).resolve().parents[1]


def recipes_folder() -> Path:
    """Return the folder of shipped recipes: inside the installed package, or at the top of a source checkout."""
    installed = PACKAGE / "recipes"
    return installed if installed.is_dir() else PACKAGE.parents[1] / "recipes"


def shipped_recipes() -> dict[str, Path]:
    """Return every shipped recipe by name, sorted."""
    folder = recipes_folder()
    paths = sorted(folder.rglob("*.toml"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def find_recipe(source: str) -> Path:
    """Return the file that `source` means: a file of that path, else the shipped recipe of that name.

    Raises:
        ConfigError: If there is neither.
    """
    path = Path(source)
    is_there = os.path.isfile(source)  # of a name that none can have, pathlib raises what the system answers
    if path.suffix == ".toml" or is_there:
        if is_there:
            return path
        raise ConfigError(f"there is no file {source}", fix="sdlora list recipes")
    shipped = shipped_recipes()
    if source in shipped:
        return shipped[source]
    close = nearest(source, list(shipped))
    raise ConfigError(
        f'no recipe is called "{source}"',
        expected="a path that ends in .toml, or a shipped name" + (f", such as {close}" if close else ""),
        fix=f"sdlora train {close}" if close else "sdlora list recipes",
    )
