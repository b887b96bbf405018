"""Changes to a recipe from the command line: ``section.key=value``."""

from __future__ import annotations

import tomllib
from typing import Any

from sdlora.config.problems import Path, short
from sdlora.errors import ConfigError

DISPLACED: dict[Path, tuple[Path, ...]] = {
    ("method", "name"): (("method",),),
    ("backbone", "name"): (("backbone", "options"),),
    ("optim", "name"): (("optim", "momentum"),),
    ("stream", "dataset"): (("data",), ("stream", "root")),
    ("stream", "num_tasks"): (("stream", "task_sizes"),),
    ("stream", "task_sizes"): (("stream", "num_tasks"),),
}
"""What the file says only because of the old value of a key, and loses when that key is overridden."""


def read_override(text: str) -> tuple[Path, Any]:
    """Split ``section.key=value``; the value is read as TOML, else taken as text.

    Raises:
        ConfigError: If `text` has no such form.

    Example:
        >>> read_override("optim.lr=0.01"), read_override("run.device=cpu")
        ((('optim', 'lr'), 0.01), (('run', 'device'), 'cpu'))
    """
    name, equals, value = text.partition("=")
    path = tuple(part.strip() for part in name.split("."))
    if not equals or not 2 <= len(path) <= 3 or not all(path):
        raise ConfigError(
            f'"{short(text)}" is no override', expected="section.key=value", fix="sdlora train RECIPE optim.lr=0.01"
        )
    try:
        document = tomllib.loads(f"value = {value}")
    except (ValueError, RecursionError):
        return path, value
    return path, document["value"] if len(document) == 1 else value


def override(document: dict[str, Any], changes: dict[Path, Any]) -> None:
    """Write `changes` into `document`, and take out what belonged to the values they replace."""
    for path in changes:
        if _get(document, path) == changes[path]:
            continue
        for displaced in DISPLACED.get(path, ()):
            _remove(document, displaced)
    for path, value in changes.items():
        table = document
        for part in path[:-1]:
            if not isinstance(table.get(part), dict):
                table[part] = {}
            table = table[part]
        table[path[-1]] = value


def _get(document: dict[str, Any], path: Path) -> Any:
    value: Any = document
    for part in path:
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _remove(document: dict[str, Any], path: Path) -> None:
    table: Any = document
    for part in path[:-1]:
        table = table.get(part)
        if not isinstance(table, dict):
            return
    table.pop(path[-1], None)
