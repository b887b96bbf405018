"""Predictions as rows of a table, for spreadsheets."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdlora.cli.answers import Unreadable
    from sdlora.predictions import Prediction

COLUMNS = ("image", "label", "probability", "is_unsure", "task", "error")


class Rows:
    """A row of comma-separated values for each image; the names of the columns are keys of the JSON document."""

    heading = ",".join(COLUMNS)

    def prediction(self, image: str, found: Prediction) -> str:
        """Return the likeliest class, however unsure."""
        return _row(image, found.label, f"{found.probability:.6f}", str(found.is_unsure).lower(), str(found.task), "")

    def failure(self, image: str, why: Unreadable) -> str:
        """Return why there is no class."""
        return _row(image, "", "", "", "", f"{why.code}: {why.message}")


def _row(*cells: str) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([_cell(cell) for cell in cells])
    return line.getvalue()


def _cell(text: str) -> str:
    """Return text that ends no row, and that no spreadsheet takes for a formula."""
    from sdlora.datasets.images import printable

    return re.sub(r"^[=+\-@]", r"'\g<0>", printable(text))
