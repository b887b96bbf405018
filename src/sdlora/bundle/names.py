"""What the name of a class may be."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence

MAX_NAME_BYTES = 200


def bad_class_name(name: str) -> str | None:
    """Say why `name` cannot be the name of a class, or return None if it can.

    Example:
        >>> bad_class_name("../rose")
        'holds a path separator'
    """
    if not name.strip() or name in (".", ".."):
        return "is no name"
    if "/" in name or "\\" in name:
        return "holds a path separator"
    if not name.isprintable():
        return "holds control characters"
    if len(name.encode(errors="surrogatepass")) > MAX_NAME_BYTES:
        return f"is longer than {MAX_NAME_BYTES} bytes"
    if unicodedata.normalize("NFC", name) != name:
        return "is not in Unicode's composed form (NFC)"
    return None


def case_twins(names: Sequence[str], others: Sequence[str]) -> Mapping[str, str]:
    """Return each of `names` that equals one of `others` but for upper and lower case, with that one."""
    folded = {other.casefold(): other for other in others}
    return {name: twin for name in names if (twin := folded.get(name.casefold())) is not None and name not in others}
