"""The offline benchmarks: letters that the shipped backbone has never seen, in renditions it has never seen.

``glyphs100`` is fixed by four criteria stated before any method was compared (docs/benchmark.md): joint training at
85 % or more, class means on the frozen backbone at 35 to 65 %, ten or more classes a task, and faces of train and test
disjoint.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sdlora.datasets.base import DATASETS, AugmentOptions, Dataset, Split, refuse_root
from sdlora.datasets.digits import digits
from sdlora.datasets.distortion import add_noise, bend, paint
from sdlora.datasets.glyphs import FACES, HELD_OUT_SCRIPTS, characters, draw_masters
from sdlora.datasets.renditions import render

TEST_FACES = ("DejaVuSans-Oblique", "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-BoldItalic")
TRAIN_FACES = tuple(face for face in FACES if face not in TEST_FACES)
TRAIN_IMAGES, TEST_IMAGES = 80, 20  # a class
AUGMENT = AugmentOptions(crop_scale=(0.7, 1.0), crop_ratio=(0.9, 1.1), flip=False, test_crop=1.0)


def letters(script: str) -> tuple[str, ...]:
    """Return the letters of a held-out script that carry no diacritical mark."""
    return tuple(
        char
        for char in characters()[script]
        if len(unicodedata.normalize("NFD", char)) == 1 and unicodedata.category(char) in ("Ll", "Lu", "Lo")
    )


def draw_split(chars: tuple[str, ...], faces: tuple[str, ...], per_class: int, size: int, seed: int) -> Split:
    """Draw `per_class` pictures of each letter, each in a random face and rendition.

    Args:
        chars: C letters; their positions are the labels.
        faces: Faces to choose from.
        per_class: Pictures of a letter.
        size: Side of a picture, pixels.
        seed: Fixes every pixel.
    """
    generator = torch.Generator().manual_seed(seed)
    masters = torch.from_numpy(draw_masters(chars, faces))
    labels = torch.arange(len(chars)).repeat_interleave(per_class)
    face = torch.randint(0, len(faces), (len(labels),), generator=generator)
    drawn = render(masters[labels, face][:, None].float() / 255, generator)
    ink = bend(drawn, generator, size=size, turn=0.2, shear=0.15, elastic=0.03)
    pictures = add_noise(paint(ink, generator), generator, largest=0.05)
    pixels: NDArray[np.uint8] = (pictures * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
    return Split(images=pixels, labels=labels.numpy())


@DATASETS.register("glyphs100")
def glyphs100(root: Path | None, image_size: int) -> Dataset:
    """One hundred letters of the four held-out scripts, 80 pictures each to learn and 20 to test."""
    pool = np.array([char for script in HELD_OUT_SCRIPTS for char in letters(script)])
    chosen = tuple(str(char) for char in np.random.Generator(np.random.PCG64(100)).permutation(pool)[:100])
    refuse_root(root, "glyphs100")
    return _from_letters("glyphs100", chosen, image_size)


@DATASETS.register("glyphs")
def glyphs(root: Path | None, image_size: int) -> Dataset:
    """Every letter of the four held-out scripts, 80 pictures each to learn and 20 to test."""
    refuse_root(root, "glyphs")
    return _from_letters("glyphs", tuple(char for script in HELD_OUT_SCRIPTS for char in letters(script)), image_size)


@DATASETS.register("alphabets")
def alphabets(root: Path | None, image_size: int) -> Dataset:
    """Twenty letters of each held-out script in turn, then scikit-learn's real handwritten digits.

    In the given order, with task sizes 20, 20, 20, 20, 10, this is the stream of ``sdlora demo``.
    """
    refuse_root(root, "alphabets")
    drawn = _from_letters("letters", tuple(c for script in HELD_OUT_SCRIPTS for c in letters(script)[:20]), image_size)
    real = digits(None, image_size)
    return Dataset(
        name="alphabets",
        classes=drawn.classes + real.classes,
        train=_joined(drawn.train, real.train, len(drawn.classes)),
        test=_joined(drawn.test, real.test, len(drawn.classes)),
        default_augment=AUGMENT,
    )


def _joined(first: Split, second: Split, offset: int) -> Split:
    pixels = np.concatenate([np.asarray(first.images), np.asarray(second.images)])
    return Split(images=pixels, labels=np.concatenate([first.labels, second.labels + offset]))


def _from_letters(name: str, chars: tuple[str, ...], size: int) -> Dataset:
    return Dataset(
        name=name,
        classes=chars,
        train=draw_split(chars, TRAIN_FACES, TRAIN_IMAGES, size, seed=1),
        test=draw_split(chars, TEST_FACES, TEST_IMAGES, size, seed=2),
        default_augment=AUGMENT,
    )
