"""Hold out a share of every class for testing, for datasets that come without a test part."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from sdlora.randomness import hash_key, permutation

SHARE = 0.2  # of each class
FEWEST = 4  # a class with fewer images is not divided


def hold_out(labels: NDArray[np.int64], share: float = SHARE) -> NDArray[np.bool_]:
    """Choose the test images: of each class a share, at least one and never all; none of a class of under four.

    The choice within a class depends on the number of its images alone, so it is always the same, and another class
    that comes or goes does not move it.

    Args:
        labels: (N,) class ids.
        share: Of the images of each class; 0 holds out nothing.

    Returns:
        (N,) whether an image is for testing.
    """
    held_out = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        if len(members) >= FEWEST and share > 0:
            count = min(max(1, round(share * len(members))), len(members) - 1)
            held_out[members[permutation(hash_key("hold out", len(members)), len(members))[:count]]] = True
    return held_out
