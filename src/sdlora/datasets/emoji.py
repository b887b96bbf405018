"""The offline benchmark in colour: one hundred emoji, drawn by different hands for training and testing.

``emoji100`` reads the drawings that ``scripts/fetch_emoji.py`` lays out and makes images of them: a drawing on a varied
background, rotated, scaled, shifted, its colours changed a little, with noise. Pixels depend on the drawings and on
fixed seeds alone, those of a class on its own drawings alone. Criteria, licences and figures: docs/emoji.md.

Letters: N images, H hands, S side of a drawing, P side of an image.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from sdlora.datasets.backgrounds import backgrounds
from sdlora.datasets.base import DATASETS, AugmentOptions, Dataset, Split, default_root
from sdlora.datasets.distortion import add_noise, bend, uniform
from sdlora.datasets.emoji_classes import CODEPOINTS, DRAWINGS, FETCH, HANDS
from sdlora.datasets.images import decode_rgba, printable, read_image
from sdlora.datasets.listing import itemised, not_there
from sdlora.errors import DataError
from sdlora.randomness import hash_key

LAYOUT = "FOLDER/train/<class>/<set>.png and FOLDER/test/<class>/<set>.png, as scripts/fetch_emoji.py writes them"
PER_HAND = {"train": 8, "test": 7}  # images of a class that a hand draws: 40 to train on, 21 to test on
INK = 0.8  # longer side of a drawing, before it is scaled at random, as a fraction of the image
TURN, SHIFT = 0.3, 0.12  # largest rotation, radians, and translation, half sides
CONTRAST = 0.7  # of background patterns
AUGMENT = AugmentOptions(crop_scale=(0.7, 1.0), crop_ratio=(0.9, 1.1), flip=False, test_crop=1.0)


@DATASETS.register("emoji100")
def emoji100(root: Path | None, image_size: int) -> Dataset:
    """One hundred emoji, 40 images each to learn by five artists and 21 to test by three others.

    Args:
        root: Folder that holds the drawings; ``data/emoji100`` if absent.
        image_size: Side of an image, pixels.

    Raises:
        DataError: If a drawing is missing or damaged.
    """
    folder = root or default_root("emoji100")
    if not folder.is_dir():
        raise not_there("emoji100", folder, LAYOUT, fix=f"{FETCH} --root FOLDER, then stream.root=FOLDER")
    check_complete(folder)
    changed = [hand for hands in HANDS.values() for hand in hands if drawings_digest(folder, hand) != DRAWINGS[hand]]
    note = f"the drawings of {', '.join(changed)} are not those of docs/emoji.md: compare with runs on these alone"
    return Dataset(
        name="emoji100",
        classes=tuple(CODEPOINTS),
        train=_split(folder, "train", image_size),
        test=_split(folder, "test", image_size),
        default_augment=AUGMENT,
        notes=(note,) if changed else (),
    )


def drawing_name(hand: str, label: str) -> str:
    """Return the path of a drawing in the dataset's folder, with forward slashes."""
    part = next(part for part, hands in HANDS.items() if hand in hands)
    return f"{part}/{label}/{hand}.png"


def drawings_digest(folder: Path, hand: str) -> str | None:
    """Return the sha256 over a hand's drawings, in the order of the classes; None if one is missing."""
    total = hashlib.sha256()
    for label in CODEPOINTS:
        path = folder / drawing_name(hand, label)
        if not path.is_file():
            return None
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def check_complete(folder: Path) -> None:
    """Refuse a folder in which drawings are missing.

    Raises:
        DataError: If any is; the message names the first ones and the command that fetches them.
    """
    names = [drawing_name(hand, label) for hands in HANDS.values() for label in CODEPOINTS for hand in hands]
    missing = [f"{name} is missing" for name in names if not (folder / name).is_file()]
    if missing:
        what = f"{printable(str(folder))} lacks {len(missing)} of the {len(names)} drawings of emoji100:"
        raise itemised(what, missing, expected=LAYOUT, fix=f"{FETCH} --root FOLDER")


def load_drawing(path: Path, name: str, side: int) -> Tensor:
    """Read a drawing, crop it to what is not transparent, and centre it in a square.

    Args:
        path: A PNG with transparency.
        name: What errors call it.
        side: Side S of the square, pixels; the drawing's longer side fills `INK` of it.

    Returns:
        Colours multiplied by opacity, then opacity (4, S, S), float in 0..1.

    Raises:
        DataError: If it cannot be read or is fully transparent.
    """
    drawing = Image.fromarray(decode_rgba(read_image(path, name), name=name, formats=("PNG",)))
    box = drawing.getchannel("A").point(lambda level: 255 * (level >= 8)).getbbox()
    if box is None:
        raise DataError(f"{printable(name)} is fully transparent", expected="a drawing", fix=f"{FETCH} --root FOLDER")
    drawing = drawing.crop(box).convert("RGBa")
    scale = max(1, round(INK * side)) / max(drawing.size)
    width, height = (max(1, round(length * scale)) for length in drawing.size)
    square = np.zeros((side, side, 4), np.float32)
    top, left = (side - height) // 2, (side - width) // 2
    small = drawing.resize((width, height), Image.Resampling.BILINEAR)
    square[top : top + height, left : left + width] = np.asarray(small, np.float32) / 255
    return torch.from_numpy(square).permute(2, 0, 1).contiguous()


def draw(drawings: Tensor, per_hand: int, size: int, seed: int) -> NDArray[np.uint8]:
    """Draw the images of a class: each of its drawings `per_hand` times.

    Args:
        drawings: (H, 4, S, S) of `load_drawing`.
        per_hand: Images of a drawing.
        size: Side P of an image, pixels.
        seed: Fixes every random number.

    Returns:
        Images (H * per_hand, P, P, 3).
    """
    generator = torch.Generator().manual_seed(seed)
    masters = drawings.repeat_interleave(per_hand, dim=0)
    placed = bend(masters, generator, size=size, turn=TURN, shear=0.0, shift=SHIFT, elastic=0.0)
    behind = backgrounds(len(masters), size, generator, contrast=CONTRAST)
    images = add_noise(tint(placed[:, :3] + (1 - placed[:, 3:]) * behind, generator), generator, largest=0.05)
    pixels: NDArray[np.uint8] = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return pixels


def tint(images: Tensor, generator: torch.Generator) -> Tensor:
    """Change colours a little: saturation, contrast, brightness and the gain of each channel (N, 3, P, P)."""
    count = len(images)
    images = torch.lerp(images.mean(dim=1, keepdim=True), images, uniform(generator, 0.7, 1.2, count, 1, 1, 1))
    images = 0.5 + (images - 0.5) * uniform(generator, 0.8, 1.2, count, 1, 1, 1)
    images = images + uniform(generator, -0.1, 0.1, count, 1, 1, 1)
    return (images * uniform(generator, 0.9, 1.1, count, 3, 1, 1)).clamp(0, 1)


def _split(folder: Path, part: Literal["train", "test"], size: int) -> Split:
    hands, per_hand = HANDS[part], PER_HAND[part]
    count = len(hands) * per_hand
    pixels = np.empty((len(CODEPOINTS) * count, size, size, 3), np.uint8)
    for row, (label, code) in enumerate(CODEPOINTS.items()):
        names = [drawing_name(hand, label) for hand in hands]
        drawings = torch.stack([load_drawing(folder / name, name, size) for name in names])
        seed = hash_key("emoji100", part, code) >> 1  # 63 bits
        pixels[row * count : (row + 1) * count] = draw(drawings, per_hand, size, seed)
    return Split(images=pixels, labels=np.repeat(np.arange(len(CODEPOINTS)), count))
