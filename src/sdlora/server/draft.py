"""A lesson being prepared, as it stands in memory and in its file."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass, field
from typing import Any

from sdlora.server.problems import ProblemError

MAX_NAME = 200  # characters; the rules for names of classes are stricter, but a name may be wrong while it is typed


@dataclass
class DraftClass:
    """A class being prepared.

    Attributes:
        key: What it is called as long as its name may change.
        name: As typed so far, in Unicode's composed form.
        pictures: Digest of each picture by its number.
    """

    key: str
    name: str
    pictures: dict[str, str] = field(default_factory=dict)


@dataclass
class Draft:
    """A lesson being prepared.

    Attributes:
        id: Its name in URLs, and of its folder; made here.
        created: When, ISO 8601, UTC.
        classes: In the order in which they were added.
        next_number: What the next picture is called.
    """

    id: str
    created: str
    classes: list[DraftClass] = field(default_factory=list)
    next_number: int = 1

    @property
    def num_pictures(self) -> int:
        """Pictures in all."""
        return sum(len(entry.pictures) for entry in self.classes)

    def find(self, key: str) -> DraftClass:
        """Return a class.

        Raises:
            ProblemError: 404 if there is none.
        """
        for entry in self.classes:
            if entry.key == key:
                return entry
        raise ProblemError(404, "no_such_class", f"The lesson has no class {key[:40]!r}.")

    def to_json(self) -> dict[str, Any]:
        """Return all of it."""
        classes = [vars(entry) for entry in self.classes]
        return {"format": 1, "id": self.id, "created": self.created, "next": self.next_number, "classes": classes}

    @classmethod
    def from_json(cls, value: Any) -> Draft:
        """Undo `to_json`.

        Raises:
            ValueError: If it is something else.
        """
        try:
            classes = [DraftClass(entry["key"], entry["name"], dict(entry["pictures"])) for entry in value["classes"]]
            return cls(value["id"], value["created"], classes, value["next"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"no draft: {error!r}") from error


def clean(label: str) -> str:
    """Return a typed name in Unicode's composed form, without spaces at its ends."""
    if len(label) > MAX_NAME:
        raise ProblemError(422, "bad_name", f"The name has {len(label)} characters; at most {MAX_NAME} are taken.")
    return unicodedata.normalize("NFC", label).strip()
