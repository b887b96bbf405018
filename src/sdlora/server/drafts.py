"""Lessons being prepared: class names and pictures in a folder beside the bundle, until they are taught or given up.

    <root>/<id>/draft.json    names, and which picture belongs to which class
    <root>/<id>/<number>.png  a picture, decoded and written anew; no name of a client becomes a path

Every change is on the disk before it is answered, so a reload, another tab and a restart find the same draft.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from sdlora.files import (
    digest,
    make_folder,
    read_bytes,
    read_json,
    remove_folder,
    storage_errors,
    sweep,
    write_atomic,
    write_json,
)
from sdlora.server.draft import Draft, DraftClass, clean
from sdlora.server.limits import Limits
from sdlora.server.problems import ProblemError

log = logging.getLogger(__name__)

NAME = "draft.json"


class Drafts:
    """The drafts of one server; its methods may be called from any thread and wait for the disk.

    Args:
        root: Folder that holds them; made with the first draft, removed with the last.
        limits: How many of everything.
    """

    def __init__(self, root: Path, limits: Limits) -> None:
        self.root, self.limits = root, limits
        self._lock = threading.RLock()
        self._drafts = {draft.id: draft for draft in _stored(root)}

    def all(self) -> list[Draft]:
        """Return all drafts, oldest first."""
        with self._lock:
            return sorted(self._drafts.values(), key=lambda draft: draft.created)

    def get(self, name: str) -> Draft:
        """Return a draft.

        Raises:
            ProblemError: 404 if there is none.
        """
        draft = self._drafts.get(name)
        if draft is None:
            raise ProblemError(404, "no_such_lesson", "There is no such lesson; it may have been taught or deleted.")
        return draft

    def folder(self, draft: Draft) -> Path:
        """Return where a draft lies."""
        return self.root / draft.id

    def create(self) -> Draft:
        """Begin a draft.

        Raises:
            ProblemError: 409 if there are enough.
        """
        with self._lock:
            if len(self._drafts) >= self.limits.drafts:
                raise ProblemError(
                    409,
                    "too_many_drafts",
                    f"{len(self._drafts)} lessons are being prepared.",
                    fix="Delete one of them.",
                )
            draft = Draft(secrets.token_hex(8), datetime.now(UTC).isoformat(timespec="milliseconds"))
            make_folder(self.folder(draft))
            self._store(draft)
            self._drafts[draft.id] = draft
            return draft

    def remove(self, name: str) -> None:
        """Delete a draft with its pictures."""
        with self._lock:
            draft = self.get(name)
            del self._drafts[name]
            remove_folder(self.folder(draft))
            if not self._drafts:
                with storage_errors(self.root):
                    shutil.rmtree(self.root)

    def add_class(self, name: str, label: str) -> DraftClass:
        """Add a class called `label`, or return the one that is called so; an empty name is always a new one.

        Raises:
            ProblemError: 409 if the lesson has enough classes.
        """
        label = clean(label)
        with self._lock:
            draft = self.get(name)
            for entry in draft.classes:
                if label and entry.name == label:
                    return entry
            if len(draft.classes) >= self.limits.lesson_classes:
                raise ProblemError(
                    409, "too_many_classes", f"A lesson has at most {self.limits.lesson_classes} classes."
                )
            draft.classes.append(DraftClass(secrets.token_hex(4), label))
            self._store(draft)
            return draft.classes[-1]

    def rename_class(self, name: str, key: str, label: str) -> DraftClass:
        """Give a class another name."""
        with self._lock:
            draft = self.get(name)
            entry = draft.find(key)
            entry.name = clean(label)
            self._store(draft)
            return entry

    def remove_class(self, name: str, key: str) -> None:
        """Delete a class with its pictures."""
        with self._lock:
            draft = self.get(name)
            entry = draft.find(key)
            draft.classes.remove(entry)
            self._store(draft)
            self._unlink(draft, list(entry.pictures))

    def add_picture(self, name: str, key: str, png: bytes) -> str:
        """Add a picture to a class and return its number; one that the class has already is not added again.

        Raises:
            ProblemError: 409 if the lesson has enough pictures.
        """
        with self._lock:
            draft = self.get(name)
            entry = draft.find(key)
            content = digest(png)[:16]
            for number, other in entry.pictures.items():
                if other == content:
                    return number
            if draft.num_pictures >= self.limits.lesson_images:
                raise ProblemError(
                    409, "too_many_pictures", f"A lesson has at most {self.limits.lesson_images} pictures."
                )
            number = str(draft.next_number)
            write_atomic(self.folder(draft) / f"{number}.png", png)
            draft.next_number += 1
            entry.pictures[number] = content
            self._store(draft)
            return number

    def remove_picture(self, name: str, number: str) -> None:
        """Delete a picture."""
        with self._lock:
            draft = self.get(name)
            for entry in draft.classes:
                if entry.pictures.pop(number, None) is not None:
                    self._store(draft)
                    self._unlink(draft, [number])
                    return
            raise ProblemError(404, "no_such_picture", "The lesson has no such picture.")

    def picture(self, name: str, number: str) -> bytes:
        """Return a picture as PNG."""
        with self._lock:
            draft = self.get(name)
            if not any(number in entry.pictures for entry in draft.classes):
                raise ProblemError(404, "no_such_picture", "The lesson has no such picture.")
            return read_bytes(self.folder(draft) / f"{number}.png")

    def _store(self, draft: Draft) -> None:
        write_json(self.folder(draft) / NAME, draft.to_json())

    def _unlink(self, draft: Draft, numbers: list[str]) -> None:
        for number in numbers:
            path = self.folder(draft) / f"{number}.png"
            with storage_errors(path):
                path.unlink(missing_ok=True)


def _stored(root: Path) -> Iterator[Draft]:
    """Read what an earlier server left; a draft that cannot be read is left where it is, and said."""
    if not root.is_dir():
        return
    for folder in sorted(root.iterdir()):
        try:
            sweep(folder)
            draft = Draft.from_json(read_json(folder / NAME))
            if draft.id != folder.name:
                raise ValueError(f"it is called {draft.id!r}")
            yield draft
        except (OSError, ValueError) as error:
            log.warning("the draft in %s cannot be used: %s", folder, error)
