"""From a file, or its bytes, to pixels: the one place where images are decoded.

The format is told by the content, never by the name. What a file may cost is bounded before it is decoded. A file that
is not complete is refused: half a picture is not a picture.
"""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sdlora.datasets import heic
from sdlora.datasets.segments import excess
from sdlora.errors import DataError

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", *heic.SUFFIXES)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", heic.FORMAT)
MAX_BYTES = 20_000_000
MAX_PIXELS = 50_000_000
MAX_SIDE = 20_000  # pixels
ORIENTATION = 0x0112  # number of the EXIF tag
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
BACKGROUND = (255, 255, 255)  # behind what is transparent
MARGIN = 2  # times the size wanted that is left for a filter to shrink, when a JPEG is decoded at less than its own
EXPECTED = f"a complete image, one of {' '.join(SUFFIXES)}"


def decode(source: Path | bytes, *, name: str | None = None, formats: tuple[str, ...] = FORMATS) -> NDArray[np.uint8]:
    """Decode the first frame of an image, turned upright, as RGB.

    Palettes, grey and CMYK become RGB; what is transparent lies on white; 16 bits a channel are scaled to 8, not cut.
    Colour profiles are ignored. HEIC needs the extra ``heic``.

    Args:
        source: A file, or what is in it.
        name: What errors call the image; the path if absent.
        formats: Names of the formats that Pillow may try.

    Returns:
        Pixels (H, W, 3), an array of its own.

    Raises:
        DataError: If it is no image, incomplete, too large, or cannot be read; the message names it.
    """
    return _decoded(source, name, formats, None)


def decode_small(
    source: Path | bytes, shorter_side: int, *, name: str | None = None, formats: tuple[str, ...] = FORMATS
) -> NDArray[np.uint8]:
    """Decode an image as `decode` does and `shrink` it; of a large JPEG only what that takes is reconstructed.

    A JPEG's blocks are decoded at a half, a quarter or an eighth of their size where at least `MARGIN` times the size
    that is asked for remains. That takes a third of the time for a photograph of 12 megapixels, and moves a level of
    its 256 pixels by 0.4 on average, 2 at most in 99 of 100.

    Args:
        source: A file, or what is in it.
        shorter_side: Length of the shorter side, pixels; an image that is not larger stays as it is.
        name: What errors call the image; the path if absent.
        formats: Names of the formats that Pillow may try.

    Returns:
        Pixels (H, W, 3), an array of its own.

    Raises:
        DataError: If it is no image, incomplete, too large, or cannot be read; the message names it.
    """
    return shrink(_decoded(source, name, formats, MARGIN * shorter_side), shorter_side)


def decode_rgba(
    source: Path | bytes, *, name: str | None = None, formats: tuple[str, ...] = FORMATS
) -> NDArray[np.uint8]:
    """Decode an image as `decode` does, but keep its transparency.

    Args:
        source: A file, or what is in it.
        name: What errors call the image; the path if absent.
        formats: Names of the formats that Pillow may try.

    Returns:
        Pixels (H, W, 4), colours not multiplied by opacity, an array of its own.

    Raises:
        DataError: If it is not an image, incomplete, too large, or cannot be read; the message names it.
    """
    return _decoded(source, name, formats, None, lambda image: np.array(_upright(image).convert("RGBA")))


def _decoded(
    source: Path | bytes,
    name: str | None,
    formats: tuple[str, ...],
    enough: int | None,
    convert: Callable[[Image.Image], NDArray[np.uint8]] | None = None,
) -> NDArray[np.uint8]:
    """Decode an image; of a JPEG perhaps at a smaller size, both sides of which have `enough` pixels."""
    label = printable(name or (str(source) if isinstance(source, Path) else "image"))
    data = source if isinstance(source, bytes) else read_image(source, label)
    if len(data) > MAX_BYTES:
        raise DataError(f"{label} has {len(data):,} bytes", expected=f"at most {MAX_BYTES:,}")
    if problem := excess(data):
        raise DataError(f"{label} {problem}", expected=EXPECTED)
    readable = _readable(data, formats, label)
    try:
        with Image.open(io.BytesIO(data), formats=readable) as image:
            _check_size(image, label)
            if enough is not None:
                image.draft(None, (enough, enough))
            return (convert or to_pixels)(image)
    except DataError:
        raise
    except Exception as error:  # codecs raise whatever they like on damaged input
        known = isinstance(error, UnidentifiedImageError)
        reason = "not an image" if known else printable(str(error)) or "damaged"
        raise DataError(f"{label} cannot be read: {reason}", expected=EXPECTED) from error


def to_pixels(image: Image.Image) -> NDArray[np.uint8]:
    """Return an opened image as `decode` does: upright, RGB, (H, W, 3), an array of its own.

    Raises:
        ValueError: If its pixels are fractions without a stated range.
    """
    return np.array(_as_rgb(_upright(image)))


def read_image(path: Path, name: str) -> bytes:
    """Return the bytes of an image file called `name` in errors.

    Raises:
        DataError: If it is missing, no file, too large or not to be read.
    """
    label = printable(name)
    try:
        found = os.stat(path)
        if not stat.S_ISREG(found.st_mode):  # a pipe would block for ever
            raise DataError(f"{label} is no file", expected=EXPECTED)
        if found.st_size > MAX_BYTES:
            raise DataError(f"{label} has {found.st_size:,} bytes", expected=f"at most {MAX_BYTES:,}")
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{label} cannot be read: {(error.strerror or str(error)).lower()}", expected=EXPECTED
        ) from error


def shrink(pixels: NDArray[np.uint8], shorter_side: int) -> NDArray[np.uint8]:
    """Resize an image so that its shorter side has a given length, as Pillow's antialiased bicubic does.

    Args:
        pixels: (H, W, 3).
        shorter_side: Length, pixels; an image that is not larger stays as it is.
    """
    height, width = pixels.shape[:2]
    shorter = min(height, width)
    if shorter <= shorter_side:
        return pixels
    size = (shorter_side * width // shorter, shorter_side * height // shorter)  # rounded down, as torchvision does
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))


def printable(text: str) -> str:
    """Return text with everything that could steer a terminal written as an escape."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _readable(data: bytes, formats: tuple[str, ...], label: str) -> tuple[str, ...]:
    """Return the formats to try; HEIC is the one that may be asked for and not be there."""
    if not heic.is_heic(data):
        return tuple(name for name in formats if name != heic.FORMAT)
    if heic.FORMAT not in formats or not heic.register():
        raise heic.refusal(label, is_allowed=heic.FORMAT in formats)
    return (heic.FORMAT,)


def _check_size(image: Image.Image, label: str) -> None:
    width, height = image.size
    if max(width, height) > MAX_SIDE or width * height > MAX_PIXELS:
        raise DataError(
            f"{label} has {width:,} x {height:,} pixels",
            expected=f"at most {MAX_PIXELS:,} in all and {MAX_SIDE:,} a side",
        )


def _upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF says; Pillow's own function writes all metadata anew, perhaps in gigabytes."""
    image.load()  # of some formats the metadata come last
    turn = TURNS.get(image.getexif().get(ORIENTATION, 1))
    return image if turn is None else image.transpose(turn)


def _as_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    elif image.mode == "F":
        raise ValueError("its pixels are fractions without a stated range")
    if image.has_transparency_data:
        picture = image.convert("RGBA")
        paper = Image.new("RGBA", picture.size, (*BACKGROUND, 255))
        image = Image.alpha_composite(paper, picture)
    return image.convert("RGB")


def _eight_bits(image: Image.Image) -> Image.Image:
    """Scale 16-bit grey to 8 bits, one level perhaps transparent; Pillow's own conversion whitens levels over 255."""
    levels = np.asarray(image)
    if levels.min() < 0 or levels.max() > 65535:
        raise ValueError(f"its levels run from {levels.min()} to {levels.max()}, not within 0 to 65535")
    scaled = levels.astype(np.uint32)
    scaled *= 255
    scaled += 32767
    scaled //= 65535
    grey = Image.fromarray(scaled.astype(np.uint8))
    hidden = image.info.get("transparency")
    if hidden is None:
        return grey
    return Image.merge("LA", (grey, Image.fromarray(np.where(levels == hidden, 0, 255).astype(np.uint8))))
