"""Values and documents as TOML text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date, time
from typing import Any


def to_toml(document: Mapping[str, Mapping[str, Any]]) -> str:
    """Write tables of values; a value of None is left out, for TOML has no such thing.

    Example:
        >>> print(to_toml({"run": {"seeds": (0, 1), "device": None}}), end="")
        [run]
        seeds = [0, 1]
    """
    tables = []
    for name, table in document.items():
        rows = [f"{_key(key)} = {toml_value(value)}" for key, value in table.items() if value is not None]
        tables.append("\n".join([f"[{_key(name)}]", *rows]) + "\n")
    return "\n".join(tables)


def toml_value(value: Any) -> str:
    """Write one value of any type that tomllib returns, or a tuple, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    if isinstance(value, Mapping):
        rows = [f"{_key(key)} = {toml_value(item)}" for key, item in value.items() if item is not None]
        return "{ " + ", ".join(rows) + " }" if rows else "{}"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else toml_value(key)
