"""Hold out a share of every class for testing, for datasets that come without a test part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdlora.randomness import hash_key, permutation

SHARE = 0.2  # of each class
FEWEST = 4  # a class with fewer images is not divided


def hold_out(labels: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Choose the test images: of each class a fifth, at least one, none of a class of under four images.

    The choice within a class depends on the number of its images alone, so it is always the same, and another class
    that comes or goes does not move it.

    Args:
        labels: (N,) class ids.

    Returns:
        (N,) whether an image is for testing.
    """
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) >= FEWEST:
            count = max(1, round(SHARE * len(members)))
            held_out[members[permutation(hash_key("hold out", len(members)), len(members))[:count]]] = True
    return held_out
