"""Text files of two columns, in which datasets list their images."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from sdlora.datasets.images import printable
from sdlora.errors import DataError

NUMBER = "<number>"


def read_pairs(path: Path, columns: tuple[str, str]) -> Iterator[tuple[str, str]]:
    """Yield the two fields of each line of a text file; empty lines do not count.

    Args:
        path: The file, UTF-8.
        columns: What the fields are, for errors; under `NUMBER` only whole numbers are accepted.

    Raises:
        DataError: If the file cannot be read, or a line has other fields; the message names file and line.
    """
    expected = f"lines of {' '.join(columns)}"
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeError) as error:
        raise DataError(f"cannot read {printable(str(path))}: {error}", expected=expected) from error
    for number, line in enumerate(lines, start=1):
        match line.split():
            case []:
                continue
            case [first, second] if all(
                column != NUMBER or (field.isascii() and field.isdigit())
                for column, field in zip(columns, (first, second), strict=True)
            ):
                yield first, second
            case _:
                shown = printable(line.strip())[:80]
                raise DataError(f'line {number} of {printable(str(path))} is "{shown}"', expected=expected)
