"""Labelled images: small sets that need no download, benchmarks in their published layouts, and folders of classes.

Importing the package registers every dataset in `sdlora.datasets.base.DATASETS`.
"""

from sdlora.datasets import digits

__all__ = ["digits"]
