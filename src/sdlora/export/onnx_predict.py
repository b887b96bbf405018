"""Classify pictures with the model in this folder. It needs onnxruntime, numpy and Pillow, nothing else.

python predict.py PHOTO...      the three best classes of each picture
python predict.py --check       whether this machine gives what the model gave when it was exported
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

HERE = Path(__file__).resolve().parent
BEST = 3


def load() -> tuple[Any, list[str], dict[str, int]]:
    """Return the session, the names of the classes in the order of the output, and how pictures are made."""
    session = onnxruntime.InferenceSession(str(HERE / "model.onnx"), providers=["CPUExecutionProvider"])
    labels = json.loads((HERE / "labels.json").read_text(encoding="utf-8"))
    return session, labels, json.loads((HERE / "preprocessing.json").read_text(encoding="utf-8"))


def read(path: Path, preprocessing: dict[str, int]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Return a picture file as (3, side, side), RGB from 0 to 1.

    Upright, on white where it is transparent; the shorter side resized, the centre cut out.
    """
    side, shorter_side = preprocessing["image_size"], preprocessing["shorter_side"]
    with Image.open(path) as file:
        file.draft(None, (2 * shorter_side, 2 * shorter_side))  # of a large JPEG only what the next step needs
        image = ImageOps.exif_transpose(file)
        if image.mode.startswith("I"):  # 16 bits: Pillow would cut them off
            image = Image.fromarray(((np.asarray(image).astype(np.int64) * 255 + 32767) // 65535).astype(np.uint8))
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (255, 255, 255, 255)), image)
        image = image.convert("RGB")
    shorter = min(image.size)
    width, height = (shorter_side * length // shorter for length in image.size)
    if (width, height) != image.size:
        image = image.resize((width, height), Image.Resampling.BICUBIC)
    left, top = (round((length - side) / 2) for length in (width, height))
    pixels = np.asarray(image.crop((left, top, left + side, top + side)))
    return (pixels.transpose(2, 0, 1) / 255).astype(np.float32)


def check(session: Any) -> int:
    """Compare with the results stored in check.npz; return the exit code."""
    stored = np.load(HERE / "check.npz")
    (found,) = session.run(None, {"image": stored["image"].astype(np.float32) / 255})
    difference = float(np.abs(found - stored["probability"]).max())
    passed = difference <= stored["limit"]
    print(f"{len(found)} images, largest difference {difference:.1e}: {'as exported' if passed else 'NOT as exported'}")
    return 0 if passed else 1


def main(words: list[str]) -> int:
    """Run the command and return its exit code."""
    if not words or words[0] in ("-h", "--help"):
        print(__doc__)
        return 0 if words else 2
    session, labels, preprocessing = load()
    if words == ["--check"]:
        return check(session)
    failed = 0
    for word in words:
        try:
            image = read(Path(word), preprocessing)
        except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises of files that are no pictures
            print(word, f"cannot be read: {error}", sep="\t", file=sys.stderr)
            failed += 1
            continue
        (probabilities,) = session.run(None, {"image": image[None]})
        best = np.argsort(-probabilities[0], kind="stable")[:BEST]
        print(word, *(f"{labels[i]} {probabilities[0, i]:.3f}" for i in best), sep="\t")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
