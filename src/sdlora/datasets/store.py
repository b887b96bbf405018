"""A cache of decoded images: shards of bytes, mapped into memory, and an index.

The cache holds exactly the pixels that decoding gives, so a run with it and one without have the same bits. The index
is written last, and without it there is no cache. It also remembers which files are unreadable and a checksum of each
file, so these are known from the second run on even where the pixels are too many to be kept.
"""

from __future__ import annotations

import json
import logging
import shutil
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sdlora.datasets.image_files import ImageFiles
from sdlora.errors import DataError, StorageError
from sdlora.files import FolderLock, parse_tensors, read_bytes, remove_folder, write_atomic, write_tensors

INDEX = "index-1.safetensors"  # the number is that of the format
SHARD_BYTES = 2**26
WAIT = 24 * 3600  # seconds to wait for another process that is building the same cache

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class PackedImages:
    """Decoded images in memory-mapped shards.

    Attributes:
        folder: Where the shards are.
        shards: Their bytes.
        table: (N, 5): shard, offset, height, width and CRC-32 of each image.
    """

    folder: Path
    shards: tuple[NDArray[np.uint8], ...]
    table: NDArray[np.int64]
    _checked: set[int] = field(default_factory=set, repr=False)

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, index: int, /) -> NDArray[np.uint8]:
        shard, offset, height, width, checksum = self.table[index].tolist()
        pixels: NDArray[np.uint8] = self.shards[shard][offset : offset + height * width * 3]
        if index not in self._checked:  # once is enough, and costs as much as a crop
            if zlib.crc32(pixels.data) != checksum:
                raise DataError(f"the image cache {self.folder} is damaged", fix=f'rm -r "{self.folder}"')
            self._checked.add(index)
        return pixels.reshape(height, width, 3)

    def select(self, rows: NDArray[np.int64]) -> PackedImages:
        """Return some of the images."""
        return PackedImages(self.folder, self.shards, self.table[rows])


@dataclass(frozen=True)
class Survey:
    """What is known of image files once each of them was decoded.

    Attributes:
        images: The images, from a cache if there is one. Those of `failures` must not be asked for.
        checksums: (N,) CRC-32 of each file.
        failures: Position of each unreadable file, and why.
        note: Why there is no cache, for people.
    """

    images: ImageFiles | PackedImages
    checksums: NDArray[np.int64]
    failures: dict[int, str]
    note: str | None = None


def survey(files: ImageFiles, cache: Path, budget: int) -> Survey:
    """Decode every file once, or look up what an earlier call found.

    Args:
        files: What to decode.
        cache: Folder that holds all caches.
        budget: Largest size of this cache, bytes. Files whose pixels need more, or more than half of what is free on
            the disk, are decoded on demand.
    """
    folder = cache / files.key()[:16]
    if found := _load(files, folder, budget):
        return found
    log.info("decoding %s images once", f"{len(files):,}")
    try:
        with FolderLock(folder, timeout=WAIT):
            return _load(files, folder, budget) or _build(files, folder, budget)
    except StorageError as error:
        with suppress(StorageError):
            remove_folder(folder)
        return Survey(files, *_read_all(files, keep=lambda _: None), _note(error.what))


def _load(files: ImageFiles, folder: Path, budget: int) -> Survey | None:
    try:
        index = parse_tensors(read_bytes(folder / INDEX))
    except ValueError:
        return None
    checksums, table = index["checksums"].numpy(), index["table"].numpy()
    failures = {int(row): str(why) for row, why in json.loads(bytes(index["failures"].numpy())).items()}
    if any(files.read(row).failure is None for row in failures):  # mended, by its permissions say
        return None
    if len(table) < len(files):  # did not fit
        asked, room = index["budget"].tolist()
        note = _note(f"their pixels take more than {room / 2**30:.3g} GiB")
        return Survey(files, checksums, failures, note) if budget <= asked else None
    shards = tuple(np.memmap(path, np.uint8, mode="c") for path in sorted(folder.glob("*.pixels")))
    if sum(map(len, shards)) != (table[:, 2] * table[:, 3] * 3).sum():
        return None
    return Survey(PackedImages(folder, shards, table), checksums, failures)


def _build(files: ImageFiles, folder: Path, budget: int) -> Survey:
    for left_over in folder.glob("*.pixels"):
        left_over.unlink()
    room = min(budget, shutil.disk_usage(folder).free // 2)
    shards = _Shards(folder, room)
    checksums, failures = _read_all(files, keep=shards.add)
    index = {
        "table": torch.tensor(shards.finish(), dtype=torch.int64).reshape(-1, 5),
        "checksums": torch.from_numpy(checksums),
        "failures": torch.frombuffer(bytearray(json.dumps(failures).encode()), dtype=torch.uint8),
        "budget": torch.tensor([budget, room]),
    }
    write_tensors(folder / INDEX, index)
    made = _load(files, folder, budget)
    assert made is not None
    return made


def _read_all(files: ImageFiles, keep: Callable[[NDArray[np.uint8]], None]) -> tuple[NDArray[np.int64], dict[int, str]]:
    """Read every file, hand the pixels to `keep`, and return checksums and failures."""
    checksums, failures = np.zeros(len(files), np.int64), {}
    for row, reading in enumerate(files.read_all()):
        keep(reading.pixels)
        checksums[row] = reading.checksum
        if reading.failure is not None:
            failures[row] = reading.failure
    return checksums, failures


class _Shards:
    """Writes pixels into shards until they are more than there is room for; then there are none."""

    def __init__(self, folder: Path, room: int) -> None:
        self.folder, self.room = folder, room
        self.rows: list[tuple[int, ...]] = []
        self.number, self.pending = 0, bytearray()

    def add(self, pixels: NDArray[np.uint8]) -> None:
        self.room -= pixels.size
        if self.room < 0:
            return
        self.rows.append((self.number, len(self.pending), *pixels.shape[:2], zlib.crc32(pixels.data)))
        self.pending += pixels.data
        if len(self.pending) >= SHARD_BYTES:
            self._write()

    def finish(self) -> list[tuple[int, ...]]:
        """Return the rows of the table; none if there was no room."""
        if self.room < 0:
            for path in self.folder.glob("*.pixels"):
                path.unlink()
            return []
        if self.pending:
            self._write()
        return self.rows

    def _write(self) -> None:
        write_atomic(self.folder / f"{self.number:06}.pixels", bytes(self.pending))
        self.number, self.pending = self.number + 1, bytearray()


def _note(reason: str) -> str:
    return f"images are decoded each time they are seen: {reason}"
