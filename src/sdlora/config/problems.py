"""All problems of one recipe in one error, each with its line."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sdlora.errors import ConfigError

Path = tuple[str, ...]
"""Where a value stands: section, key, and keys of inline tables."""

MOST_SHOWN = 20


@dataclass(frozen=True)
class Problem:
    """One thing wrong with a recipe.

    Attributes:
        path: The key it is about.
        text: What is wrong with it, as a continuation of the key.
    """

    path: Path
    text: str

    def __str__(self) -> str:
        joint = "" if self.text.startswith(" = ") else ": "
        return f"{dotted(self.path)}{joint}{self.text}"


def dotted(path: Path) -> str:
    """Write a path as ``section.key``, cut to a readable length."""
    return short(".".join(path))


def short(text: str, length: int = 80) -> str:
    """Return one printable line of at most `length` characters."""
    line = "".join(char if char.isprintable() else "?" for char in text[: length + 1])
    return line if len(line) <= length else line[: length - 1] + "…"


def recipe_error(
    recipe: str, problems: Iterable[Problem], lines: Mapping[Path, int], overridden: set[Path]
) -> ConfigError:
    """Return the error that lists all problems in the order of the file.

    Args:
        recipe: What the user called the recipe.
        problems: At least one.
        lines: Line of each key in the file.
        overridden: Keys given on the command line, which stand on no line.
    """
    rows = sorted({(_line(problem.path, lines, overridden), str(problem)) for problem in problems})
    shown = [f"  {_place(line)}{text}" for line, text in rows[:MOST_SHOWN]]
    if len(rows) > MOST_SHOWN:
        shown.append(f"  and {len(rows) - MOST_SHOWN} more")
    count = "1 problem" if len(rows) == 1 else f"{len(rows)} problems"
    return ConfigError("\n".join([f"{recipe} has {count}.", *shown]))


def _line(path: Path, lines: Mapping[Path, int], overridden: Iterable[Path]) -> int:
    """Return the line of the innermost known part of a path; 0 for none, -1 for the command line."""
    for length in range(len(path), 0, -1):
        if path[:length] in overridden:
            return -1
        if path[:length] in lines:
            return lines[path[:length]]
    return 0


def _place(line: int) -> str:
    return f"line {line}  " if line > 0 else "override  " if line < 0 else ""
