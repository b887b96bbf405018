"""The mistakes that a model is surest of, as one HTML page that needs nothing else."""

from __future__ import annotations

import base64
import heapq
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sdlora.errors import ConfigError
from sdlora.files import write_atomic
from sdlora.predictions import Evaluation
from sdlora.reports.environment import page_environment, page_style
from sdlora.reports.text import percent, printable

SHOWN = 60  # mistakes on a page
SIDE = 192  # longest side of a picture on it, pixels
SIGNATURE = b"sdlora mistakes</title>"  # on every page of ours


@dataclass(frozen=True)
class Mistake:
    """An image that was taken for something else.

    Attributes:
        true: What it shows.
        said: What the model takes it for.
        probability: How sure the model is of that, a fraction.
        true_probability: What it gives to the class that it shows, a fraction.
        picture: The image, small, as a URL that holds it.
    """

    true: str
    said: str
    probability: float
    true_probability: float
    picture: str


class Worst:
    """Keeps the surest mistakes and nothing of the others.

    Args:
        classes: All classes of the model.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.classes = classes
        self._kept: list[tuple[float, int, Mistake]] = []
        self._count = 0

    def add(self, true: int, shares: NDArray[np.float32], pixels: NDArray[np.uint8]) -> None:
        """Take note of a mistake.

        Args:
            true: Position of the class that the image shows.
            shares: (K,) probabilities.
            pixels: The image (H, W, 3).
        """
        self._count += 1
        said = int(shares.argmax())
        key = float(shares[said])
        if len(self._kept) == SHOWN and key <= self._kept[0][0]:
            return
        mistake = Mistake(self.classes[true], self.classes[said], key, float(shares[true]), data_url(pixels))
        heapq.heappush(self._kept, (key, -self._count, mistake))
        if len(self._kept) > SHOWN:
            heapq.heappop(self._kept)

    def mistakes(self) -> list[Mistake]:
        """Return them, the surest first."""
        return [mistake for *_, mistake in sorted(self._kept, key=lambda entry: entry[:2], reverse=True)]


def write_mistakes(mistakes: Sequence[Mistake], evaluation: Evaluation, path: Path, *, title: str) -> Path:
    """Write the page, over an older one of ours or where nothing is.

    Args:
        mistakes: What to show.
        evaluation: What they were found in.
        path: Where the page goes.
        title: What was measured on what.

    Raises:
        ConfigError: If a file of somebody else is there.
        StorageError: If it cannot be written.
    """
    check_free(path)
    environment = page_environment()
    environment.filters |= {"percent": percent, "printable": printable}
    page = environment.get_template("mistakes.html").render(
        mistakes=mistakes, evaluation=evaluation, count=_num_mistakes(evaluation), title=title, style=page_style()
    )
    write_atomic(path, page.encode("utf-8"))
    return path


def check_free(path: Path) -> None:
    """Refuse to write over what is not ours, or where there is no folder; measuring comes first and may take long.

    Raises:
        ConfigError: If a file of somebody else is there, or the folder is not.
    """
    if not path.parent.is_dir():
        raise ConfigError(f"{path.parent} is no folder", fix=f"mkdir -p {quote(str(path.parent))}")
    if path.exists() and not (path.is_file() and SIGNATURE in path.read_bytes()):
        raise ConfigError(f"{path} was not written by sdlora, so it stays as it is", fix="--out OTHER.html")


def data_url(pixels: NDArray[np.uint8]) -> str:
    """Return an image (H, W, 3) as a URL that holds it, no side longer than `SIDE`."""
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG" if max(pixels.shape) <= SIDE // 2 else "JPEG", quality=85)
    kind = "png" if buffer.getvalue().startswith(b"\x89PNG") else "jpeg"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _num_mistakes(evaluation: Evaluation) -> int:
    return sum(confusion.count for confusion in evaluation.confusions)
