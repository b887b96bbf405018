"""A folder of class folders: the way in for one's own images."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from sdlora.datasets.holdout import hold_out
from sdlora.datasets.images import SUFFIXES, printable
from sdlora.datasets.listing import Listing, itemised, register_files
from sdlora.errors import DataError

LAYOUT = "FOLDER/<class>/*.jpg, or FOLDER/train/<class>/*.jpg and FOLDER/test/<class>/*.jpg"
MAX_NAME_BYTES = 200
CLUTTER = ("__MACOSX", "Thumbs.db", "desktop.ini")  # what systems leave in folders, besides names with a dot in front


@dataclass
class _Part:
    """What a folder of class folders holds.

    Attributes:
        images: Paths of the images of each class, from the root.
        others: Paths of further files in class folders.
        problems: What must be mended.
        left_out: How many things of each kind do not count.
    """

    images: dict[str, list[str]] = field(default_factory=dict)
    others: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)


@register_files("folder", LAYOUT)
def folder(root: Path) -> Listing:
    """List the images in a folder of class folders; without a test part, a fifth of each class is for testing."""
    return list_folder(root)


def list_folder(root: Path) -> Listing:
    """List the images in a folder of class folders.

    Classes are sorted by name, in Unicode's composed form. Hidden things and folders within class folders are left out
    and counted.

    Raises:
        DataError: If a class has no image, or names clash, or a class is in one part only; all problems at once.
    """
    parts = {"": _Part()}
    if (root / "train").is_dir() and any(path.is_dir() for path in (root / "train").iterdir()):
        parts = {"train": _Part(), "test": _Part()} if (root / "test").is_dir() else {"train": _Part()}
        visible = _visible(root, parts["train"])
        beside = [entry.name for entry in visible if entry.is_dir() and entry.name not in parts]
        if beside:
            raise DataError(
                f"{printable(str(root))} has {', '.join(map(printable, beside))} beside train", expected=LAYOUT
            )
    for name, part in parts.items():
        _scan(root, name, part)
    problems = [problem for part in parts.values() for problem in part.problems] + _clashes(parts)
    if problems:
        raise itemised(
            f"{printable(str(root))} has {len(problems)} problem{'s'[: len(problems) - 1]}:", problems, expected=LAYOUT
        )
    left_out = sum((part.left_out for part in parts.values()), Counter[str]())
    counts = ", ".join(f"{what} {count}" for what, count in sorted(left_out.items()))
    classes = sorted({label for part in parts.values() for label in part.images})
    if not classes:
        such = f" ({counts})" if counts else ", it is empty"
        raise DataError(f"no class with an image in {printable(str(root))}{such}", expected=LAYOUT)
    position = {label: index for index, label in enumerate(classes)}
    rows = [
        (image, position[label], name == "test")
        for name, part in parts.items()
        for label, images in sorted(part.images.items())
        for image in sorted(images)
    ]
    labels = np.array([label for _, label, _ in rows], dtype=np.int64)
    return Listing(
        root=root,
        classes=tuple(classes),
        names=tuple(image for image, _, _ in rows),
        labels=labels,
        is_test=np.array([is_test for *_, is_test in rows]) if "test" in parts else hold_out(labels),
        others=tuple(other for part in parts.values() for other in part.others),
        notes=(f"left out: {counts}",) if counts else (),
    )


def _visible(folder: Path, part: _Part) -> list[os.DirEntry[str]]:
    """Return the entries of a folder by name, hidden ones counted and left out."""
    visible = []
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if entry.name.startswith(".") or entry.name in CLUTTER:
            part.left_out["hidden folders" if entry.is_dir() else "hidden files"] += 1
        else:
            visible.append(entry)
    return visible


def _scan(root: Path, name: str, part: _Part) -> None:
    for entry in _visible(root / name, part):
        path = f"{name}/{entry.name}".lstrip("/")
        if _leads_out(entry, root):
            part.problems.append(f"{printable(path)} is a link that leads out of the folder")
        elif not entry.is_dir():
            part.left_out["files beside the class folders"] += 1
        elif problem := _bad_name(entry.name):
            part.problems.append(f"{printable(path)}: a class name must not {problem}")
        else:
            _scan_class(root, path, unicodedata.normalize("NFC", entry.name), part)


def _scan_class(root: Path, path: str, label: str, part: _Part) -> None:
    images, others, folders = [], [], []
    for entry in _visible(root / path, part):
        file = f"{path}/{entry.name}"
        if _leads_out(entry, root):
            part.problems.append(f"{printable(file)} is a link that leads out of the folder")
        elif entry.is_dir():
            folders.append(entry.name)
        elif entry.name.lower().endswith(SUFFIXES):
            images.append(file)
        else:
            others.append(file)
    part.left_out += Counter({"folders within class folders": len(folders)})
    if label in part.images:
        part.problems.append(f'{printable(path)}: the class "{label}" is there twice, written in two ways')
    elif images:
        part.images[label] = images
        part.others += others
    else:
        beside = {"other file": [other.rpartition("/")[2] for other in others], "folder": folders}
        found = [
            f"{len(names)} {what}{'s'[: len(names) - 1]}, such as {printable(names[0])}"
            for what, names in beside.items()
            if names
        ]
        part.problems.append(f"{printable(path)} has no image ({'; '.join(found) or 'it is empty'})")


def _bad_name(name: str) -> str | None:
    if not name.strip():
        return "be empty"
    if "\\" in name:
        return "hold a path separator"
    if not name.isprintable():
        return "hold control characters"
    if len(name.encode()) > MAX_NAME_BYTES:
        return f"be longer than {MAX_NAME_BYTES} bytes"
    return None


def _leads_out(entry: os.DirEntry[str], root: Path) -> bool:
    return entry.is_symlink() and not Path(os.path.realpath(entry.path)).is_relative_to(os.path.realpath(root))


def _clashes(parts: dict[str, _Part]) -> list[str]:
    """Return the problems between classes: names that differ in case alone, classes of one part only."""
    names = sorted({label for part in parts.values() for label in part.images})
    first: dict[str, str] = {}
    twins = {label: other for label in names if (other := first.setdefault(label.casefold(), label)) != label}
    problems = [f'"{label}" and "{other}" differ in case only' for label, other in twins.items()]
    for here, there in (("train", "test"), ("test", "train")):
        if here in parts and there in parts:
            missing = [label for label in parts[here].images if label not in parts[there].images]
            problems += [
                f'class "{label}" is in {here}/ and not in {there}/'
                for label in missing
                if label not in twins and label not in twins.values()
            ]
    return problems
