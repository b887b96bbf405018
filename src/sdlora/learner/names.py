"""Other names for known classes."""

from __future__ import annotations

from collections.abc import Mapping

from sdlora.bundle import Description
from sdlora.bundle.config import with_names
from sdlora.bundle.names import bad_class_name
from sdlora.errors import ConfigError
from sdlora.registry import nearest


def renamed(description: Description, names: Mapping[str, str]) -> Description:
    """Return a description in which classes have other names; two may change names with each other.

    Raises:
        ConfigError: If an old name is unknown, or a new one is taken or cannot be a name.
    """
    classes = description.classes
    for old, new in names.items():
        if old not in classes:
            close = nearest(old, list(classes))
            raise ConfigError(
                f'no class is called "{old}"',
                expected="a class that the model knows",
                fix=f'did you mean "{close}"?' if close else None,
            )
        if problem := bad_class_name(new):
            raise ConfigError(f'"{new}" {problem}', expected="a name for a class")
    after = [names.get(label, label) for label in classes]
    folded: dict[str, str] = {}
    for label in after:
        if label.casefold() in folded:
            other = folded[label.casefold()]
            raise ConfigError(
                f'two classes would be called "{label}"' + (f' and "{other}"' if other != label else ""),
                expected="a name that no other class has, in any case",
            )
        folded[label.casefold()] = label
    return with_names(description, names)


def with_later_names(earlier: Description, later: Description) -> Description:
    """Return what a learner was, with the names that its classes got since."""
    pairs = zip(earlier.classes, later.classes, strict=False)
    return renamed(earlier, {old: new for old, new in pairs if old != new})
