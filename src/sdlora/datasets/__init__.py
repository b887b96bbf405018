"""Labelled images: small sets that need no download, benchmarks in their published layouts, and folders of classes.

Importing the package registers every dataset in `sdlora.datasets.base.DATASETS`.
"""

from sdlora.datasets import (
    cifar100,
    cub200,
    digits,
    domainnet,
    emoji,
    folder,
    glyph_streams,
    imagenet_a,
    imagenet_r,
    synthetic,
)
from sdlora.datasets.base import DATASETS, AugmentOptions, Dataset, ImageSource, Split
from sdlora.datasets.images import decode

__all__ = [
    "DATASETS",
    "AugmentOptions",
    "Dataset",
    "ImageSource",
    "Split",
    "cifar100",
    "cub200",
    "decode",
    "digits",
    "domainnet",
    "emoji",
    "folder",
    "glyph_streams",
    "imagenet_a",
    "imagenet_r",
    "synthetic",
]
