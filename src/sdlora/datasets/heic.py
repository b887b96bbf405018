"""HEIC, what many phones save: read where the package pillow-heif is installed, told from a damaged file elsewhere."""

from __future__ import annotations

from functools import cache

from sdlora.errors import DataError

FORMAT = "HEIF"  # Pillow's name of the family
SUFFIXES = (".heic", ".heif")
_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1")


def is_heic(data: bytes) -> bool:
    """Whether a file begins as HEIC does."""
    return data[4:8] == b"ftyp" and data[8:12] in _BRANDS


@cache
def register() -> bool:
    """Let Pillow read HEIC, and return whether it can."""
    try:
        import pillow_heif
    except ImportError:
        return False
    pillow_heif.register_heif_opener(thumbnails=False)
    return True


def refusal(label: str, *, is_allowed: bool) -> DataError:
    """Return the error for a HEIC image called `label` that cannot be read, here at all or in this place."""
    if is_allowed:
        return DataError(
            f"{label} cannot be read: HEIC needs the package pillow-heif",
            expected="JPEG or PNG",
            fix='pip install "sdlora[heic]", or convert it to JPEG',
        )
    return DataError(f"{label} cannot be read: HEIC is not accepted here", fix="convert it to JPEG or PNG")
