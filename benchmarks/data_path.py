"""From stored images to batches: images a second of wall time, and processor time an image, on one thread.

    python benchmarks/data_path.py

Each way is run several times in turn and the fastest run counts, since other work can only add time. ``with a step`` is
an epoch whose consumer is busy elsewhere for a while with each batch, as with an accelerator; its ideal is the longer
of the two.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sdlora.datasets.base import AugmentOptions, ImageSource
from sdlora.datasets.image_files import ImageFiles
from sdlora.datasets.images import decode, decode_small, shrink
from sdlora.datasets.store import survey
from sdlora.streams.batches import PlainBatches, TrainBatches
from sdlora.streams.stream import TaskSplit

REPEATS = 7


def photograph(height: int, width: int, seed: int) -> Image.Image:
    """Return a picture with detail at all scales, as heavy for a codec as a photograph."""
    random = np.random.default_rng(seed)
    levels = np.zeros((height, width, 3))
    for scale in (4, 16, 64, 256):
        noise = Image.fromarray(random.integers(0, 256, (max(2, scale * height // 500), scale, 3), dtype=np.uint8))
        levels += (np.asarray(noise.resize((width, height), Image.Resampling.BICUBIC)) - 128.0) / scale**0.5
    return Image.fromarray((levels + 128).clip(0, 255).astype(np.uint8))


def jpeg(height: int, width: int, seed: int) -> bytes:
    """Return such a picture as a file."""
    buffer = io.BytesIO()
    photograph(height, width, seed).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def fastest(run: Callable[[], int]) -> tuple[float, float]:
    """Return images a second and processor milliseconds an image of the fastest of several runs."""
    rates, costs = [], []
    for _ in range(REPEATS):
        wall, processor = time.perf_counter(), time.process_time()
        count = run()
        rates.append(count / (time.perf_counter() - wall))
        costs.append((time.process_time() - processor) / count * 1000)
    return max(rates), min(costs)


def split(images: ImageSource) -> TaskSplit:
    """Return a split of all images."""
    positions = np.arange(len(images))
    return TaskSplit(images, positions, positions % 10, AugmentOptions())


def train(images: ImageSource, side: int, step: float = 0.0) -> Callable[[], int]:
    """Return a function that runs a training epoch, `step` seconds being spent on each batch."""

    def run() -> int:
        count = 0
        for _, labels in TrainBatches(split(images), 32, 0, 0, 0, AugmentOptions(), side):
            time.sleep(step)
            count += len(labels)
        return count

    return run


def plain(images: ImageSource, side: int) -> Callable[[], int]:
    """Return a function that goes through all images as at test."""
    return lambda: sum(len(labels) for _, labels in PlainBatches(split(images), 32, side))


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    small = np.random.default_rng(0).integers(0, 256, (4000, 32, 32, 3), dtype=np.uint8)
    rows = [("32 x 32 in memory, training", train(small, 32)), ("32 x 32 in memory, test", plain(small, 32))]
    with tempfile.TemporaryDirectory() as folder:
        for index in range(200):
            data = jpeg(375, 500, index)
            (Path(folder) / f"{index}.jpg").write_bytes(data)
        print(f"a JPEG of 500 x 375 has about {len(data) / 1000:.0f} kB")
        files = ImageFiles(Path(folder), tuple(f"{index}.jpg" for index in range(200)), 256)
        cached = survey(files, Path(folder) / "cache", 2**30).images
        for name, images in (("decoded each time", files), ("from the cache", cached)):
            rows += [(f"224 {name}, training", train(images, 224)), (f"224 {name}, test", plain(images, 224))]
        rows.append(("224 from the cache, with a step of 20 ms", train(cached, 224, 0.02)))
        rows.append(("32 x 32 in memory, with a step of 5 ms", train(small, 32, 0.005)))
        large = jpeg(3000, 4000, 0)
        rows.append(("12 megapixels to 256, whole", lambda: len([shrink(decode(large), 256)])))
        rows.append(("12 megapixels to 256, as it is done", lambda: len([decode_small(large, 256)])))
        for name, run in rows:
            rate, cost = fastest(run)
            print(f"{name:42} {rate:9,.0f} images/s {cost:8.3f} ms of processor an image")


if __name__ == "__main__":
    main()
