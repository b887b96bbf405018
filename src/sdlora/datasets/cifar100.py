"""CIFAR-100 (Krizhevsky, 2009): 60,000 images of 32 x 32 pixels in 100 classes, read from the published Python archive.

The archive holds pickles. They are read only if their checksums are the published ones, and by an unpickler that
knows nothing but arrays.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np

from sdlora.datasets.base import DATASETS, AugmentOptions, Dataset, Split, default_root
from sdlora.datasets.listing import not_there
from sdlora.errors import DataError

ARCHIVE = "cifar-100-python.tar.gz"
FOLDER = "cifar-100-python"
LAYOUT = f"FOLDER/{ARCHIVE}, or unpacked FOLDER/{FOLDER}/ with train, test and meta"
MD5 = {
    ARCHIVE: "eb9058c3a382ffc7106e4002c42a8d85",
    "train": "16019d7e3df5f24257cddd939b257f8d",
    "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
    "meta": "7973b15100ade9c7d40fb424638fde48",
}


@DATASETS.register("cifar100")
def cifar100(root: Path | None, image_size: int) -> Dataset:
    """Load CIFAR-100 with its own split; all of an image is seen at test, as in the code released with SD-LoRA.

    Args:
        root: Folder that holds the archive or what it unpacks to; ``data/cifar100`` if absent.
        image_size: Not used: images keep their 32 pixels and are enlarged in batches.
    """
    place = root or default_root("cifar100")
    contents = _contents(place)
    names = _unpickle(contents["meta"], "meta")["fine_label_names"]
    return Dataset(
        name="cifar100",
        classes=tuple(names),
        train=_split(contents["train"], "train"),
        test=_split(contents["test"], "test"),
        default_augment=AugmentOptions(test_crop=1.0),
    )


def _contents(place: Path) -> dict[str, bytes]:
    """Return the bytes of train, test and meta, from the unpacked folder or the archive."""
    for folder in (place / FOLDER, place):
        if all((folder / name).is_file() for name in ("train", "test", "meta")):
            return {name: _verified(folder / name) for name in ("train", "test", "meta")}
    if not (place / ARCHIVE).is_file():
        raise not_there("cifar100", place, LAYOUT)
    with tarfile.open(fileobj=io.BytesIO(_verified(place / ARCHIVE)), mode="r:gz") as archive:
        members = {name: archive.extractfile(f"{FOLDER}/{name}") for name in ("train", "test", "meta")}
        return {name: member.read() for name, member in members.items() if member is not None}


def _verified(path: Path) -> bytes:
    data = path.read_bytes()
    found = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if found != MD5[path.name]:
        raise DataError(
            f"{path} is damaged, or another version: its md5 is {found}", expected=MD5[path.name], fix="fetch it again"
        )
    return data


class _ArraysOnly(pickle.Unpickler):
    """Unpickles containers, text, numbers and NumPy arrays, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        rebuild = np.empty(0).__reduce__()[0]
        known = {
            ("numpy.core.multiarray", "_reconstruct"): rebuild,  # as written in 2009
            ("numpy._core.multiarray", "_reconstruct"): rebuild,
            ("numpy", "ndarray"): np.ndarray,
            ("numpy", "dtype"): np.dtype,
        }
        if (module, name) not in known:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return known[module, name]


def _unpickle(data: bytes, name: str) -> dict[str, Any]:
    try:
        # Written by Python 2, whose strings are bytes; Latin-1 maps them one to one.
        found = _ArraysOnly(io.BytesIO(data), encoding="latin1").load()
    except Exception as error:  # damaged pickles raise whatever they like
        raise DataError(f"{name} of CIFAR-100 cannot be read: {error}", fix="fetch it again") from error
    if not isinstance(found, dict):
        raise DataError(f"{name} of CIFAR-100 holds no table", fix="fetch it again")
    return found


def _split(data: bytes, name: str) -> Split:
    table = _unpickle(data, name)
    planes = table["data"].reshape(-1, 3, 32, 32)
    return Split(np.ascontiguousarray(planes.transpose(0, 2, 3, 1)), np.array(table["fine_labels"], dtype=np.int64))
