"""On which line of a TOML text each key stands, which tomllib does not tell."""

from __future__ import annotations

import re
import tomllib

Path = tuple[str, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:\\.|[^"\\\n])*"|'[^'\n]*')"""
_KEY = rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*"
_HEADER = re.compile(rf"\[\[?[ \t]*({_KEY})[ \t]*\]\]?")
_ASSIGNMENT = re.compile(rf"({_KEY})[ \t]*=")
_BLANK = re.compile(r"[ \t\r]*")
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""|' + r"'''.*?'''|" + r'"(?:\\.|[^"\\\n])*"|' + r"'[^'\n]*'|#[^\n]*|.",
    re.DOTALL,
)


def key_lines(text: str) -> dict[Path, int]:
    """Return the line, from 1, of every table header and every key outside inline tables.

    Args:
        text: A document that tomllib accepts; of any other the result means nothing.

    Example:
        >>> key_lines(chr(10).join(["[run]", "seeds = [0,", "  1]", "[optim]", "lr = 0.1"]))["optim", "lr"]
        5
    """
    lines: dict[Path, int] = {}
    table: Path = ()
    start, line = 0, 1
    while start < len(text):
        position = _BLANK.match(text, start).end()  # type: ignore[union-attr]  # matches everywhere
        if header := _HEADER.match(text, position):
            table = _parts(header[1])
            lines.setdefault(table, line)
            position = header.end()
        elif assignment := _ASSIGNMENT.match(text, position):
            lines.setdefault(table + _parts(assignment[1]), line)
            position = assignment.end()
        position = _end_of_value(text, position)
        line += text.count("\n", start, position)
        start = position
    return lines


def _parts(key: str) -> Path:
    """Split a dotted key, quoted or not."""
    found: list[str] = []
    table = tomllib.loads(f"{key} = 0")
    while isinstance(table, dict):
        part, table = next(iter(table.items()))
        found.append(part)
    return tuple(found)


def _end_of_value(text: str, position: int) -> int:
    """Return where the next line begins that is not inside a string, an array or an inline table."""
    depth = 0
    for token in _TOKEN.finditer(text, position):
        if token[0] in ("[", "{"):
            depth += 1
        elif token[0] in ("]", "}"):
            depth -= 1
        elif token[0] == "\n" and depth <= 0:
            return token.end()
    return len(text)
