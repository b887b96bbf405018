"""Which image files a command means: files, folders, patterns, and paths on standard input."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sdlora.datasets.folder import CLUTTER
from sdlora.datasets.images import SUFFIXES, printable
from sdlora.datasets.listing import itemised
from sdlora.reports.text import plural

STDIN = "-"


def gather(words: Sequence[str]) -> list[Path]:
    """Return the image files that the words of a command name, in their order.

    A file is taken whatever its name; it need not exist, which is found out when it is read. A folder stands for the
    images in it and below, by name. A pattern is tried where no file has that name. ``-`` stands for the paths on
    standard input, one a line.

    Raises:
        DataError: If a folder holds no image, or a pattern or standard input names none; all problems at once.
    """
    paths: list[Path] = []
    problems: list[str] = []
    for word in words:
        found = _found(word)
        if isinstance(found, str):
            problems.append(found)
        else:
            paths += found
    if problems:
        what = problems[0] if len(problems) == 1 else f"{len(problems)} of {len(words)} arguments name no image:"
        raise itemised(what, problems if len(problems) > 1 else (), expected=" ".join(SUFFIXES))
    return paths


def _found(word: str) -> list[Path] | str:
    """Return the files that a word names, or what is wrong with it."""
    path = Path(word)
    if word == STDIN:
        return [Path(line) for line in _lines()] or "no path on standard input"
    if path.is_dir():
        return _images_below(path)
    if glob.has_magic(word) and not path.exists():
        matches = [Path(match) for match in sorted(glob.glob(word, recursive=True)) if os.path.isfile(match)]
        return matches or f"no file matches {printable(word)}"
    return [path]


def _lines() -> Iterator[str]:
    """Yield the lines of standard input that are not empty; bytes that are no text survive as in names of files."""
    for line in sys.stdin.buffer:
        if text := os.fsdecode(line.rstrip(b"\r\n")):
            yield text


def _images_below(root: Path) -> list[Path] | str:
    images: list[Path] = []
    others: list[Path] = []
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(name for name in folders if not _is_clutter(name))
        for name in sorted(files):
            if not _is_clutter(name):
                (images if name.lower().endswith(SUFFIXES) else others).append(Path(folder, name))
    if images:
        return images
    such = f" ({plural(len(others), 'other file')}, such as {printable(others[0].name)})" if others else ""
    return f"no image in {printable(str(root))}{os.sep}{such}"


def _is_clutter(name: str) -> bool:
    return name.startswith(".") or name in CLUTTER
