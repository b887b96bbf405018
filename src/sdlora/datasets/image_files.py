"""Image files on disk, decoded each time they are asked for."""

from __future__ import annotations

import hashlib
import os
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import PIL
from numpy.typing import NDArray

from sdlora.datasets.base import ImageSource
from sdlora.datasets.images import decode_small, read_image
from sdlora.errors import DataError

NUM_THREADS = min(8, os.cpu_count() or 1)
WINDOW = 256  # files decoded before the first of them is handed on
DECODER = 2  # raised when the same file gives other pixels than before


@dataclass(frozen=True)
class Reading:
    """What came of reading one file.

    Attributes:
        pixels: (H, W, 3); without height and width if the file is unreadable.
        checksum: CRC-32 of the file's bytes.
        failure: Why it is unreadable, or None.
    """

    pixels: NDArray[np.uint8]
    checksum: int
    failure: str | None = None


@dataclass(frozen=True)
class ImageFiles:
    """Image files, each shrunk to the size at which it is seen at test.

    Attributes:
        root: Folder that holds them all.
        names: Their paths in it, with forward slashes.
        shorter_side: Length to which the shorter side of a larger image is shrunk, pixels.
    """

    root: Path
    names: tuple[str, ...]
    shorter_side: int

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        name = self.names[index]
        return decode_small(self.root / name, self.shorter_side, name=name)

    def fetch(self, indices: Sequence[int]) -> list[NDArray[np.uint8]]:
        """Return several images, decoded side by side."""
        with ThreadPoolExecutor(NUM_THREADS) as threads:
            return list(threads.map(self.__getitem__, indices))

    def select(self, rows: NDArray[np.int64]) -> ImageFiles:
        """Return some of the files."""
        return replace(self, names=tuple(self.names[row] for row in rows.tolist()))

    def read(self, index: int) -> Reading:
        """Read one file and say what came of it."""
        name, checksum = self.names[index], 0
        try:
            data = read_image(self.root / name, name)
            checksum = zlib.crc32(data)
            return Reading(decode_small(data, self.shorter_side, name=name), checksum)
        except DataError as error:
            return Reading(np.empty((0, 0, 3), np.uint8), checksum, error.what)

    def read_all(self) -> Iterator[Reading]:
        """Read every file, several at a time, and yield what came of it in order."""
        with ThreadPoolExecutor(NUM_THREADS) as threads:
            for start in range(0, len(self), WINDOW):
                yield from threads.map(self.read, range(start, min(start + WINDOW, len(self))))

    def key(self) -> str:
        """Return a hash over all that the pixels depend on: files by name, size and time, and the decoder."""
        total = hashlib.sha256(
            repr((PIL.__version__, DECODER, self.shorter_side, os.path.realpath(self.root))).encode()
        )
        for name in self.names:
            with suppress(OSError):  # a file that is gone is found unreadable later
                found = os.stat(self.root / name)
                total.update(repr((name, found.st_size, found.st_mtime_ns)).encode())
        return total.hexdigest()


def fetch(images: ImageSource, indices: NDArray[np.int64]) -> Sequence[NDArray[np.uint8]]:
    """Return several images (H, W, 3), the fastest way their source has."""
    if isinstance(images, np.ndarray):
        return list(images[indices])
    if isinstance(images, ImageFiles):
        return images.fetch(indices.tolist())
    return [images[index] for index in indices.tolist()]
