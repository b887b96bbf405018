"""What must be mended before a lesson can be taught, told at the field where it stands."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

from sdlora.bundle.names import bad_class_name
from sdlora.reports.text import listed
from sdlora.server.draft import Draft, DraftClass

FEWEST_AT_FIRST = 2  # a model of one class would say nothing but its name


class Flaw(NamedTuple):
    """Something to mend.

    Attributes:
        code: Word by which programs know it.
        message: For people.
        key: The class it stands at, or None for the whole lesson.
    """

    code: str
    message: str
    key: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it for the API."""
        return self._asdict()


def flaws(draft: Draft, known: Sequence[str]) -> list[Flaw]:
    """Return all that keeps a draft from being taught.

    Args:
        draft: The lesson.
        known: Classes of the model.
    """
    filled = [entry for entry in draft.classes if entry.name or entry.pictures]  # an empty card is no mistake
    found = [flaw for entry in filled if (flaw := _flaw(entry, filled, known))]
    found += _shared_pictures(filled)
    if not filled:
        found.append(Flaw("too_few_classes", "Name a class and add pictures of it."))
    elif not known and len(filled) < FEWEST_AT_FIRST:
        found.append(Flaw("too_few_classes", "The first lesson needs two classes. Add a second."))
    return found


def _flaw(entry: DraftClass, others: Sequence[DraftClass], known: Sequence[str]) -> Flaw | None:
    """Return the first thing wrong with one class."""
    name, key = entry.name, entry.key
    if not name:
        return Flaw("no_name", "Give it a name.", key)
    if problem := bad_class_name(name):
        return Flaw("bad_name", f'"{name}" {problem}.', key)
    if name in known:
        return Flaw("known", f'"{name}" is already known.', key)
    twins = [other.name for other in others if other is not entry and other.name.casefold() == name.casefold()]
    twins += [other for other in known if other.casefold() == name.casefold()]
    if twins:
        same = twins[0] == name
        return Flaw(
            "twice", f'"{name}" is there twice.' if same else f'"{name}" and "{twins[0]}" differ in case only.', key
        )
    if not entry.pictures:
        return Flaw("no_pictures", "Add pictures of it.", key)
    return None


def _shared_pictures(classes: Sequence[DraftClass]) -> list[Flaw]:
    owners: defaultdict[str, list[DraftClass]] = defaultdict(list)
    for entry in classes:
        for content in set(entry.pictures.values()):
            owners[content].append(entry)
    found = []
    for entries in dict.fromkeys(
        tuple(entry.key for entry in several) for several in owners.values() if len(several) > 1
    ):
        names = listed([entry.name or "a class without a name" for entry in classes if entry.key in entries])
        found.append(Flaw("same_picture", f"The same picture is in {names}.", entries[-1]))
    return found
