"""Small pictures, and files and folders of them."""

import io

import numpy as np
from PIL import Image


def photo(height, width, seed=0):
    """A smooth picture with some grain, (height, width, 3) uint8: what codecs are made for."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (5, 6, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC)).astype(int)
    return (smooth + random.integers(-8, 9, smooth.shape)).clip(0, 255).astype(np.uint8)


def encode(pixels, format="PNG", **options):
    """The bytes of an image file. `pixels` is an array or a Pillow image."""
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def write_classes(root, counts, *, size=(12, 16)):
    """Make ROOT/<class>/<n>.png with `counts[class]` different pictures each."""
    for seed, (name, count) in enumerate(counts.items()):
        folder = root / name
        folder.mkdir(parents=True)
        for index in range(count):
            (folder / f"{index:03}.png").write_bytes(encode(photo(*size, seed=1000 * seed + index)))
    return root
