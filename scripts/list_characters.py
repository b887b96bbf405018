"""Make ``src/sdlora/datasets/glyph_characters.json``: the characters of pretraining and of the held-out scripts.

Run: python scripts/list_characters.py        (about a minute)

A character counts if all twelve faces draw it and its master is no near-copy of one that came earlier. Near-copy: the
squared difference of the two masters, over the mean of their squared norms, averaged over faces, is below `LIMIT`.
The pretraining list comes first, so that a Cyrillic letter that looks like a Latin one is in neither held-out list.
"""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import numpy as np
from fontTools.ttLib import TTFont

from sdlora.datasets.glyphs import FACES, HELD_OUT_SCRIPTS, draw_masters, font_file, script_of

LIMIT = 0.06


def main() -> None:
    drawable = set.intersection(*(set(TTFont(font_file(face)).getBestCmap()) for face in FACES))
    groups: dict[str, list[str]] = {name: [] for name in ("other", *HELD_OUT_SCRIPTS)}
    for code in sorted(drawable):
        char = chr(code)
        if unicodedata.category(char)[0] in "ZC":
            continue
        script = script_of(char)
        if script in groups:
            groups[script].append(char)
    kept: dict[str, list[str]] = {}
    vectors = np.zeros((0, len(FACES) * 24 * 24), dtype=np.float32)
    for script, chars in groups.items():
        kept[script] = []
        masters = draw_masters(tuple(chars)).astype(np.float32) / 255
        halves = masters.reshape(len(chars), len(FACES), 24, 2, 24, 2).mean(axis=(3, 5))
        norms = np.sqrt((halves**2).sum(axis=(2, 3), keepdims=True)) + 1e-6
        unit = (halves / norms).reshape(len(chars), -1) / np.sqrt(len(FACES))
        for char, vector in zip(chars, unit, strict=True):
            if not np.any(vector) or (len(vectors) and 2 - 2 * float((vectors @ vector).max()) < LIMIT):
                continue
            vectors = np.vstack([vectors, vector])
            kept[script].append(char)
        print(f"{script}: {len(kept[script])} of {len(chars)}")
    target = Path(__file__).parents[1] / "src/sdlora/datasets/glyph_characters.json"
    target.write_text(json.dumps({k: "".join(v) for k, v in kept.items()}, ensure_ascii=False, indent=1) + "\n")


if __name__ == "__main__":
    main()
