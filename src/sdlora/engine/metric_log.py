"""The metric log: one JSON object a line, only ever appended to.

A checkpoint holds the whole log, so a resumed run puts it back first: rows written after the checkpoint are cut and
come again, a torn or lost line is repaired, and each row is there once.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sdlora.files import storage_errors, write_atomic


class MetricLog:
    """The log of one run.

    Args:
        path: The file; not touched before `restore` or `append`.

    Attributes:
        data: All rows, as bytes.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.data = path, b""

    def restore(self) -> None:
        """Make the file hold exactly `data`.

        Raises:
            StorageError: If it cannot be written.
        """
        if not self.path.is_file() or self.path.read_bytes() != self.data:
            write_atomic(self.path, self.data)

    def append(self, row: dict[str, Any]) -> None:
        """Add a row.

        Raises:
            StorageError: If it cannot be written.
        """
        line = (json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n").encode()
        with storage_errors(self.path, len(line)), self.path.open("ab") as file:
            file.write(line)
        self.data += line


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the whole rows of a log; a torn last line does not count.

    Raises:
        ValueError: If another line is damaged.
    """
    lines = path.read_bytes().split(b"\n")[:-1]  # what follows the last newline is empty, or torn
    return [json.loads(line) for line in lines]
