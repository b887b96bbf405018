"""From a list of image files to a dataset: what every dataset on disk has in common.

A dataset on disk is one function from its folder to a `Listing`, registered with `register_files`.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sdlora.datasets.base import DATASETS, AugmentOptions, Dataset, Split, default_root
from sdlora.datasets.image_files import ImageFiles
from sdlora.datasets.images import printable
from sdlora.datasets.store import Survey, survey
from sdlora.errors import DataError

NAMED = 20  # of many problems, how many an error names


@dataclass(frozen=True)
class Listing:
    """The files of a dataset, none of them read yet.

    Attributes:
        root: Folder that holds them all.
        classes: Class names in the dataset's own order.
        names: N paths in `root`, with forward slashes.
        labels: (N,) positions in `classes`.
        is_test: (N,) whether a file is for testing.
        others: Further files where only images belong.
        notes: What was left out and why, a line each.
    """

    root: Path
    classes: tuple[str, ...]
    names: tuple[str, ...]
    labels: NDArray[np.int64]
    is_test: NDArray[np.bool_]
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def select(self, keep: NDArray[np.bool_]) -> Listing:
        """Return some of the files."""
        names = tuple(name for name, kept in zip(self.names, keep.tolist(), strict=True) if kept)
        return replace(self, names=names, labels=self.labels[keep], is_test=self.is_test[keep])


def register_files(name: str, layout: str) -> Callable[[Callable[[Path], Listing]], Callable[..., Dataset]]:
    """Return a decorator that makes a dataset of a function from a folder to its listing.

    Args:
        name: What recipes call the dataset.
        layout: What the folder must look like; errors print it.
    """

    def decorate(list_files: Callable[[Path], Listing]) -> Callable[..., Dataset]:
        def load(
            root: Path | None,
            image_size: int,
            *,
            unreadable: Literal["stop", "skip"] = "stop",
            cache_gib: float = 16.0,
            cache_dir: str | None = None,
        ) -> Dataset:
            """Load the dataset.

            Args:
                root: Its folder; ``data/<name>`` if absent.
                image_size: Side of the pictures to be made of its images, pixels.
                unreadable: Whether damaged files and files that are no images end the loading or are left out.
                cache_gib: Largest size of the cache of decoded images, GiB.
                cache_dir: Folder of the caches; the user's cache folder if absent.
            """
            folder = root or default_root(name)
            if not folder.is_dir():
                raise not_there(name, folder, layout)
            listing = list_files(folder)
            augment = AugmentOptions()
            files = ImageFiles(listing.root, listing.names, augment.shorter_side(image_size))
            found = survey(files, Path(cache_dir) if cache_dir else cache_folder(), int(cache_gib * 2**30))
            return _dataset(name, listing, found, augment, unreadable)

        load.__name__, load.__doc__ = name, f"{list_files.__doc__}\n\n{load.__doc__}"
        return DATASETS.register(name)(load)

    return decorate


def not_there(name: str, folder: Path, layout: str, *, fix: str = "put it there, or stream.root=FOLDER") -> DataError:
    """Return the error for a dataset that is not where it was looked for."""
    return DataError(f"{name} is not at {printable(str(folder))}", expected=layout, fix=fix)


def cache_folder() -> Path:
    """Return the folder of all image caches: ``sdlora/images`` in the user's cache folder."""
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # a user without a home
        cache = Path(tempfile.gettempdir())
    return cache / "sdlora" / "images"


def itemised(what: str, problems: Sequence[str], *, expected: str | None = None, fix: str | None = None) -> DataError:
    """Return an error that names the first problems, a line each, and counts the others."""
    lines = [f"  {problem}" for problem in problems[:NAMED]]
    if len(problems) > NAMED:
        lines.append(f"  and {len(problems) - NAMED:,} more")
    return DataError("\n".join([what, *lines]), expected=expected, fix=fix)


def check_count(name: str, what: str, found: int, published: int) -> None:
    """Refuse a dataset of which a part is missing.

    Raises:
        DataError: If there are more or fewer than published.
    """
    if found != published:
        raise DataError(f"{name} has {found:,} {what}", expected=f"{published:,}", fix="unpack the whole archive again")


def leaves_root(name: str) -> bool:
    """Whether a path from a list would lead out of the dataset's folder."""
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name


def _dataset(
    name: str, listing: Listing, found: Survey, augment: AugmentOptions, unreadable: Literal["stop", "skip"]
) -> Dataset:
    others = [f"{printable(other)} is no image by its name" for other in listing.others]
    problems = [*(found.failures[row] for row in sorted(found.failures)), *others]
    if problems and unreadable == "stop":
        total = len(listing.names) + len(others)
        raise itemised(
            f"{name}: {len(problems):,} of {total:,} files cannot be used:",
            problems,
            fix='mend or remove them, or data.unreadable="skip"',
        )
    notes = [*listing.notes, *([found.note] if found.note else [])]
    if problems:
        skipped = [listing.names[row] for row in sorted(found.failures)] + list(listing.others)
        first = ", ".join(map(printable, skipped[:3])) + (", ..." if len(skipped) > 3 else "")
        notes.append(f"skipped {len(skipped):,} unreadable file{'s' if len(skipped) > 1 else ''} ({first})")
    readable = np.ones(len(listing.names), dtype=bool)
    readable[list(found.failures)] = False

    def split(chosen: NDArray[np.bool_]) -> Split:
        rows = np.flatnonzero(chosen)
        contents = [(listing.names[row], found.checksums[row].item()) for row in rows.tolist()]
        content = hashlib.sha256(json.dumps(contents).encode()).hexdigest()
        return Split(found.images.select(rows), listing.labels[rows], content)

    return Dataset(
        name=name,
        classes=listing.classes,
        train=split(readable & ~listing.is_test),
        test=split(readable & listing.is_test),
        default_augment=augment,
        notes=tuple(notes),
    )
