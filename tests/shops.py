"""A small taught model and the pictures it was taught from, for tests of the commands that use one."""

from pathlib import Path

import numpy as np
from pictures import encode, photo

from sdlora.learner import Learner

SPRING, AUTUMN = ("daisy", "rose", "tulip"), ("fir", "pine")
SEEDS = {name: seed for seed, name in enumerate((*SPRING, *AUTUMN, "orchid"))}


def picture(name: str, index: int) -> np.ndarray:
    """Return one of the pictures of a class, (28, 28, 3): a pattern of its own under noise."""
    base = photo(28, 28, SEEDS[name])
    noise = np.random.default_rng(100 * SEEDS[name] + index).integers(-30, 31, base.shape)
    return (base.astype(int) + noise).clip(0, 255).astype(np.uint8)


def write_pictures(root: Path, counts: dict[str, int], *, first: int = 0) -> Path:
    """Make ROOT/<class>/<n>.png."""
    for name, count in counts.items():
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(first, first + count):
            (root / name / f"{index}.png").write_bytes(encode(picture(name, index)))
    return root


def open_shop(root: Path, method: str = "simplecil") -> Path:
    """Make ROOT/shop, a bundle of two lessons, from ROOT/spring and ROOT/autumn; and ROOT/test."""
    learner = Learner(method=method, device="cpu")
    for name, classes in (("spring", SPRING), ("autumn", AUTUMN)):
        learner.learn(write_pictures(root / name, dict.fromkeys(classes, 5)))
    write_pictures(root / "test", dict.fromkeys((*SPRING, *AUTUMN), 4), first=50)
    return learner.save(root / "shop")
