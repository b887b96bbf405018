"""Characters drawn from the DejaVu fonts: the offline source of images for pretraining and for benchmarks.

Every master drawing is a coverage mask: the character cropped to its ink, scaled so that its longer side fills
`INK` of `MASTER` pixels, centred. Size and position on the line are therefore no cue, as in scikit-learn's digits.

Letters: N images, C characters, F faces, S side of a master.
"""

from __future__ import annotations

import json
import unicodedata
from functools import cache
from importlib import resources
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

MASTER = 48  # side of a master drawing, pixels
INK = 38  # longer side of the ink inside it, pixels

FACES: tuple[str, ...] = tuple(
    f"{family}{style}"
    for family, slant in (("DejaVuSans", "Oblique"), ("DejaVuSansMono", "Oblique"), ("DejaVuSerif", "Italic"))
    for style in ("", "-Bold", f"-{slant}", f"-Bold{slant}")
)
"""The twelve faces, upright, bold, slanted, bold slanted within each family."""

HELD_OUT_SCRIPTS: tuple[str, ...] = ("greek", "cyrillic", "armenian", "georgian")
"""Scripts that the shipped backbone has never seen, nor any digit."""


def script_of(character: str) -> str:
    """Return ``"greek"``, ``"digit"``, ... : which held-out group a character belongs to, or ``"other"``.

    A character whose compatibility decomposition contains a held-out one (a circled digit, the micro sign) belongs
    to that group too, so that no disguised copy reaches pretraining.
    """
    for part in unicodedata.normalize("NFKD", character):
        if unicodedata.category(part) in ("Nd", "No", "Nl"):
            return "digit"
        words = unicodedata.name(part, "").lower().replace("-", " ").split()
        for script in HELD_OUT_SCRIPTS:
            if script in words or (script == "greek" and "coptic" in words):
                return script
    return "digit" if unicodedata.category(character) in ("Nd", "No", "Nl") else "other"


@cache
def characters() -> dict[str, tuple[str, ...]]:
    """Return the committed character lists: ``"other"`` (pretraining) and one list a held-out script.

    Characters whose drawings coincide in all faces count once; the list was made by ``scripts/list_characters.py``.
    """
    text = resources.files("sdlora.datasets").joinpath("glyph_characters.json").read_text(encoding="utf-8")
    return {script: tuple(chars) for script, chars in json.loads(text).items()}


def font_file(face: str) -> Path:
    """Return the path of a face among the fonts that matplotlib installs."""
    return Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf"


def draw_masters(chars: tuple[str, ...], faces: tuple[str, ...] = FACES) -> NDArray[np.uint8]:
    """Draw each character in each face.

    Args:
        chars: C single characters.
        faces: F names out of `FACES`.

    Returns:
        Coverage (C, F, MASTER, MASTER), 0 paper, 255 ink.
    """
    fonts = [ImageFont.truetype(str(font_file(face)), 96, layout_engine=ImageFont.Layout.BASIC) for face in faces]
    masters = np.zeros((len(chars), len(faces), MASTER, MASTER), dtype=np.uint8)
    for row, char in enumerate(chars):
        for column, font in enumerate(fonts):
            masters[row, column] = _draw(char, font)
    return masters


def _draw(char: str, font: ImageFont.FreeTypeFont) -> NDArray[np.uint8]:
    canvas = Image.new("L", (320, 320), 0)
    ImageDraw.Draw(canvas).text((112, 112), char, fill=255, font=font)
    box = canvas.getbbox()
    square = np.zeros((MASTER, MASTER), dtype=np.uint8)
    if box is None:  # a blank character, such as a space
        return square
    ink = canvas.crop(box)
    scale = INK / max(ink.size)
    width, height = (max(1, round(side * scale)) for side in ink.size)
    small = ink.resize((width, height), Image.Resampling.BOX if scale < 1 else Image.Resampling.BICUBIC)
    top, left = (MASTER - height) // 2, (MASTER - width) // 2
    square[top : top + height, left : left + width] = np.asarray(small)
    return square
