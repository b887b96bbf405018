"""A process that decodes pictures of strangers, so that a codec that crashes or hangs takes nothing else along.

Run as ``python -m sdlora.server.decode_worker``; reads frames from stdin, writes frames to stdout, ends with stdin.
"""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from sdlora.datasets import AugmentOptions, heic
from sdlora.datasets.images import decode_small
from sdlora.errors import DataError
from sdlora.server.beside import DECODING, step_back
from sdlora.server.frames import DAMAGED, DONE, KEEP, NOT_AN_IMAGE, TOO_MANY_PIXELS, Frame, pack, read_frame
from sdlora.streams.resample import resample_each
from sdlora.streams.views import central_views

FORMATS = ("JPEG", "PNG", "WEBP", heic.FORMAT)
MEMORY = 1_500_000_000  # bytes that decoding may add: 50 megapixels take about 0.9 GB with transparency


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer frames until `source` ends."""
    while (frame := read_frame(source)) is not None:
        target.write(pack(answer(frame)))
        target.flush()


def answer(frame: Frame) -> Frame:
    """Decode one picture.

    Returns:
        ``DONE`` with uint8 (side, side, 3) or with a PNG, or why not, with a reason for people.
    """
    try:
        if frame.kind == KEEP:
            return Frame(DONE, _png(_decoded(frame.data, frame.side)))
        options = AugmentOptions(test_crop=frame.crop)
        pixels = _decoded(frame.data, options.shorter_side(frame.side))
        return Frame(DONE, picture(pixels, frame.side, options).tobytes())
    except DataError as error:
        is_unknown_heic = heic.is_heic(frame.data) and not heic.register()
        if is_unknown_heic or isinstance(error.__cause__, UnidentifiedImageError):
            return Frame(NOT_AN_IMAGE)
        return Frame(TOO_MANY_PIXELS if error.__cause__ is None else DAMAGED, error.what.encode())
    except MemoryError:
        return Frame(DAMAGED, b"the picture takes too much memory")


def picture(pixels: NDArray[np.uint8], side: int, options: AugmentOptions) -> NDArray[np.uint8]:
    """Return what a model sees of an image at test, the way `sdlora.streams.batches.PlainBatches` makes it.

    Args:
        pixels: (H, W, 3), small already.
        side: Side of the square, pixels.
        options: Which share of the shorter side is seen.

    Returns:
        (side, side, 3).
    """
    views = central_views(np.array([pixels.shape[:2]], dtype=np.int64), side, options)
    seen = resample_each([pixels], views, side)[0].permute(1, 2, 0)  # (side, side, 3), whole levels / 255
    return seen.mul_(255).round_().byte().numpy()


def _decoded(data: bytes, shorter_side: int) -> NDArray[np.uint8]:
    return decode_small(data, shorter_side, name="the picture", formats=FORMATS)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def limit_memory() -> None:
    """Bound the address space of this process, where the system can do that and tells how much is used already."""
    status = Path("/proc/self/statm")
    if not status.exists():
        return
    import resource

    used = int(status.read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def main() -> None:
    """Serve stdin and stdout; nothing else may write to either."""
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    step_back(DECODING)
    torch.set_num_threads(1)
    limit_memory()
    target.write(pack(Frame(DONE)))  # ready
    target.flush()
    serve(sys.stdin.buffer, target)


if __name__ == "__main__":
    main()
