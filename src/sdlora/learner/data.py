"""What a lesson is taught from, or a model is measured on: labelled images from a folder, a CSV file or a Dataset."""

from __future__ import annotations

import csv
import os
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from shlex import quote
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sdlora.bundle.names import bad_class_name
from sdlora.datasets.base import ImageSource
from sdlora.datasets.folder import list_folder
from sdlora.datasets.image_files import ImageFiles
from sdlora.datasets.images import SUFFIXES, printable
from sdlora.datasets.listing import Listing, itemised
from sdlora.datasets.store import survey
from sdlora.errors import DataError
from sdlora.learner.pictures import as_small

MAX_NAME = 80  # characters of what data are called
CACHE_BYTES = 16 * 2**30  # of decoded images, for the time of a lesson
COLUMNS = ("path", "label")
ACCEPTED = "a folder of class folders, a CSV file with the columns path and label, or a Dataset with .classes"


@dataclass(frozen=True)
class LabelledImages:
    """Images and what they show.

    Attributes:
        name: What the data are called, without the path to them.
        classes: Class names.
        images: N images, each shrunk to the size at which it is seen at test.
        labels: (N,) positions in `classes`.
        is_test: (N,) which ones the data themselves set aside for testing; None if they do not say.
        skipped: Names of the files that were left out because they are no readable images.
        notes: What else was left out, a line each.
    """

    name: str
    classes: tuple[str, ...]
    images: ImageSource
    labels: NDArray[np.int64]
    is_test: NDArray[np.bool_] | None = None
    skipped: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.labels)

    def for_testing(self) -> NDArray[np.int64]:
        """Return the positions of what to measure on: the test part, or all where there is none."""
        return np.flatnonzero(self.is_test) if self.is_test is not None else np.arange(len(self))


@contextmanager
def opened(data: Any, shorter_side: int, *, skip_unreadable: bool = False) -> Iterator[LabelledImages]:
    """Give the labelled images that `data` means; decoded pixels lie in a temporary folder until the block ends.

    Args:
        data: A folder of class folders, with or without parts train and test; a CSV file whose rows are path and
            label, paths from the folder of the file; or a torch Dataset of (image, label) with ``.classes``, and with
            ``.name`` if it has a better one than its type.
        shorter_side: Length to which the shorter side of larger images is shrunk, pixels.
        skip_unreadable: Leave damaged files and files that are no images out, instead of refusing all.

    Raises:
        DataError: If there are no images, names are wrong, or files cannot be read; all problems at once.
    """
    if isinstance(data, LabelledImages):
        yield data
        return
    if not isinstance(data, str | os.PathLike):
        yield _from_dataset(data, shorter_side)
        return
    path = Path(data)
    listing = _listing(path)
    with TemporaryDirectory(prefix="sdlora-", ignore_cleanup_errors=True) as cache:
        yield _decoded(called(path.resolve().name), listing, Path(cache), shorter_side, skip_unreadable)


def called(name: str) -> str:
    """Return the name of a folder, a table or a kind of Dataset as it may go on record: short, and plain text."""
    return printable(name)[:MAX_NAME] or "data"


def _listing(path: Path) -> Listing:
    shown = printable(str(path))
    if path.is_dir():
        if _has_loose_images(path):
            raise DataError(
                f"{shown} has images but no class folders",
                expected=f"{shown}/<class>/*.jpg",
                fix="one folder per class",
            )
        if lessons := _lessons_in(path):
            raise DataError(
                f"{shown} holds folders of class folders: {printable(', '.join(lessons))}",
                expected=f"one lesson: {shown}/<class>/*.jpg",
                fix=f"name one of them, such as {printable(quote(str(path / lessons[0])))}",
            )
        return list_folder(path)
    if path.is_file() and path.suffix.lower() == ".csv":
        return _read_csv(path)
    what = "is neither a folder nor a CSV file" if path.exists() else "does not exist"
    raise DataError(f"{shown} {what}", expected=ACCEPTED)


def _has_loose_images(folder: Path) -> bool:
    return not _folders(folder) and _has_images(folder)


def _lessons_in(folder: Path) -> list[str]:
    """Return the names of the folders of class folders, where there are such and no class folder beside them."""
    inner = _folders(folder)
    if (folder / "train").is_dir() or any(map(_has_images, inner)):
        return []
    return [path.name for path in inner if any(map(_has_images, _folders(path)))]


def _folders(folder: Path) -> list[Path]:
    return sorted(Path(entry.path) for entry in os.scandir(folder) if entry.is_dir() and entry.name[0] != ".")


def _has_images(folder: Path) -> bool:
    return any(name[0] != "." and name.lower().endswith(SUFFIXES) for name in os.listdir(folder))


def _read_csv(path: Path) -> Listing:
    shown = printable(str(path))
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.reader(file))
    except (OSError, UnicodeError, csv.Error) as error:
        raise DataError(f"cannot read {shown}: {printable(str(error))}", expected=ACCEPTED) from error
    if not rows or tuple(cell.strip().lower() for cell in rows[0]) != COLUMNS:
        first = printable(",".join(rows[0]))[:80] if rows else ""
        raise DataError(f'the first line of {shown} is "{first}"', expected=",".join(COLUMNS))
    filled = [(number, row) for number, row in enumerate(rows[1:], start=2) if any(cell.strip() for cell in row)]
    problems = [f"line {number} has {len(row)} fields, not 2" for number, row in filled if len(row) != 2]
    if problems or not filled:
        raise itemised(f"{shown} lists no images" if not filled else f"{shown} is no table:", problems)
    pairs = [(row[0].strip(), unicodedata.normalize("NFC", row[1].strip())) for _, row in filled]
    classes = sorted({label for _, label in pairs})
    position = {label: index for index, label in enumerate(classes)}
    return Listing(
        root=path.parent,
        classes=tuple(classes),
        names=tuple(name for name, _ in pairs),
        labels=np.array([position[label] for _, label in pairs], dtype=np.int64),
        is_test=np.zeros(len(pairs), dtype=bool),
    )


def _decoded(name: str, listing: Listing, cache: Path, shorter_side: int, skip_unreadable: bool) -> LabelledImages:
    check_names(listing.classes)
    files = ImageFiles(listing.root, listing.names, shorter_side)
    found = survey(files, cache, CACHE_BYTES)
    bad = sorted(found.failures)
    problems = [found.failures[row] for row in bad]
    problems += [f"{printable(other)} is no image by its name" for other in listing.others]
    if problems and not skip_unreadable:
        total = len(listing.names) + len(listing.others)
        raise itemised(
            f"{len(problems):,} of {total:,} files in {name} are unreadable:",
            problems,
            fix="mend or remove them, or --skip-unreadable (skip_unreadable=True)",
        )
    rows = np.setdiff1d(np.arange(len(listing.names)), bad)
    labels = listing.labels[rows]
    if empty := [label for index, label in enumerate(listing.classes) if index not in set(labels.tolist())]:
        raise itemised("classes without a readable image:", [printable(label) for label in empty])
    has_test = listing.is_test.any() and any(
        path.startswith("test/") and path.count("/") == 2 for path in listing.names
    )
    return LabelledImages(
        name=name,
        classes=listing.classes,
        images=found.images.select(rows),
        labels=labels,
        is_test=listing.is_test[rows] if has_test else None,
        skipped=(*(listing.names[row] for row in bad), *listing.others),
        notes=listing.notes,
    )


def _from_dataset(data: Any, shorter_side: int) -> LabelledImages:
    classes = getattr(data, "classes", None)
    if classes is None or not callable(getattr(data, "__len__", None)):
        raise DataError(f"an object of type {type(data).__name__} is no labelled data", expected=ACCEPTED)
    names = tuple(unicodedata.normalize("NFC", str(name)) for name in classes)
    check_names(names)
    images, labels = [], []
    for index in range(len(data)):
        image, label = data[index]
        images.append(as_small(image, shorter_side))
        labels.append(int(label))
    if not images or min(labels) < 0 or max(labels) >= len(names):
        found = f"labels from {min(labels)} to {max(labels)}" if images else "no image"
        raise DataError(f"the Dataset has {found} for {len(names)} classes", expected="positions in .classes")
    name = called(str(getattr(data, "name", type(data).__name__)))
    return _without_empty(LabelledImages(name, names, images, np.array(labels, dtype=np.int64)))


def _without_empty(data: LabelledImages) -> LabelledImages:
    """Leave out the names of classes that have no image, such as those of a subset."""
    present = np.unique(data.labels)
    return replace(
        data, classes=tuple(data.classes[k] for k in present.tolist()), labels=np.searchsorted(present, data.labels)
    )


def check_names(classes: tuple[str, ...]) -> None:
    """Refuse names that no class may have, and names that differ in case only; all at once.

    Raises:
        DataError: If there are such.
    """
    problems = [f'"{printable(name)}" {why}' for name in classes if (why := bad_class_name(name))]
    folded: dict[str, str] = {}
    problems += [
        f'"{name}" and "{twin}" differ in case only'
        for name in classes
        if (twin := folded.setdefault(name.casefold(), name)) != name
    ]
    problems += [f'"{name}" is there twice' for name in {n for n in classes if classes.count(n) > 1}]
    if problems:
        raise itemised("these cannot be names of classes:", problems)
