"""ImageNet-A (arXiv 1907.07174): 7,500 natural images of 200 ImageNet classes that fool a ResNet-50.

Divided as ImageNet-R is: the archive has no test part, and a fifth of every class is held out.
"""

from __future__ import annotations

from pathlib import Path

from sdlora.datasets.imagenet_r import list_wnids
from sdlora.datasets.listing import Listing, register_files

LAYOUT = "FOLDER/<wnid>/*.jpg or FOLDER/imagenet-a/<wnid>/*.jpg (200 such as n01498041), or train and test parts"


@register_files("imagenet_a", LAYOUT)
def imagenet_a(root: Path) -> Listing:
    """List ImageNet-A, as unpacked from ``imagenet-a.tar``."""
    return list_wnids("imagenet_a", root, "imagenet-a")
