"""Numbers and names as people read them: percent with one decimal, names without control characters."""

from __future__ import annotations

import unicodedata

MINUS = "\N{MINUS SIGN}"
DASH = "\N{EN DASH}"  # not measured
_JOINERS = "\N{ZERO WIDTH JOINER}\N{ZERO WIDTH NON-JOINER}"


def printable(text: str) -> str:
    r"""Return `text` with control, format and surrogate characters spelt out, so that it cannot steer a terminal.

    Example:
        >>> print(printable("a\x1b[31mb\nc"))
        a\x1b[31mb\nc
    """
    return "".join(_escaped(char) if _is_hidden(char) else char for char in text)


def _is_hidden(char: str) -> bool:
    return unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp") and char not in _JOINERS


def _escaped(char: str) -> str:
    return char.encode("unicode_escape").decode("ascii")


def percent(fraction: float | None) -> str:
    """Return a fraction in percent with one decimal, without the sign: 0.9157 is 91.6."""
    return DASH if fraction is None else f"{100 * fraction:.1f}".replace("-0.0", "0.0").replace("-", MINUS)


def plus_minus(mean: float | None, std: float | None) -> str:
    """Return mean and standard deviation in percent; the mean alone if there is one seed."""
    return percent(mean) if mean is None or std is None else f"{percent(mean)} ± {percent(std)}"


def points(fraction: float) -> str:
    """Return a difference of fractions in percentage points, with its sign."""
    text = f"{100 * fraction:+.1f}"
    return text.replace("-0.0", "+0.0").replace("-", MINUS)


def parameters(count: float | None) -> str:
    """Return a number of parameters in thousands or millions."""
    if count is None:
        return DASH
    if count >= 999_500:
        return f"{count / 1e6:.{2 if count < 9.995e6 else 1}f} M"
    return f"{count / 1e3:.{1 if count < 99_950 else 0}f} k" if count >= 1000 else f"{count:.0f}"


def size(count: float | None) -> str:
    """Return bytes in kB, MB or GB of a thousand each."""
    if count is None:
        return DASH
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= 0.9995 * scale:
            return f"{count / scale:.3g} {unit}"
    return f"{count:.0f} B"


def times(ratio: float | None) -> str:
    """Return a ratio as a multiple: 2.00 ×."""
    return DASH if ratio is None else f"{ratio:.2f} ×"


def short_count(count: float) -> str:
    """Return a round number for an axis: 50 k, 2 M."""
    if count >= 1e6:
        return f"{count / 1e6:g} M"
    return f"{count / 1e3:g} k" if count >= 1e3 else f"{count:g}"


def duration(seconds: float | None) -> str:
    """Return a time in seconds, minutes or hours, to about three digits."""
    if seconds is None:
        return DASH
    if seconds < 99.5:
        return f"{seconds:.0f} s" if seconds >= 9.95 else f"{seconds:.1f} s"
    return f"{seconds / 60:.1f} min" if seconds < 5970 else f"{seconds / 3600:.1f} h"


def listed(things: list[str]) -> str:
    """Return "a", "a and b", or "a, b and c"."""
    return things[0] if len(things) == 1 else f"{', '.join(things[:-1])} and {things[-1]}"


def plural(count: int, noun: str) -> str:
    """Return "1 seed" or "3 seeds"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
