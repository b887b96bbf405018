"""ImageNet-R (arXiv 2006.16241): 30,000 renditions of 200 ImageNet classes.

The published archive has no test part. Work on continual learning holds out a fifth at random (arXiv 2204.04799:
24,000 and 6,000 images); here a fifth of every class, always the same images. Copies that come divided into train and
test, as some repositories share them, are used as they are.
"""

from __future__ import annotations

from pathlib import Path

from sdlora.datasets.folder import list_folder
from sdlora.datasets.listing import Listing, check_count, register_files

LAYOUT = "FOLDER/<wnid>/*.jpg or FOLDER/imagenet-r/<wnid>/*.jpg (200 such as n01443537), or train and test parts"


@register_files("imagenet_r", LAYOUT)
def imagenet_r(root: Path) -> Listing:
    """List ImageNet-R, as unpacked from ``imagenet-r.tar``."""
    return list_wnids("imagenet_r", root, "imagenet-r")


def list_wnids(name: str, root: Path, unpacked: str) -> Listing:
    """List a dataset of 200 ImageNet classes, in the folder itself or in the one that its archive makes there."""
    listing = list_folder(root / unpacked if (root / unpacked).is_dir() else root)
    check_count(name, "classes", len(listing.classes), 200)
    return listing
