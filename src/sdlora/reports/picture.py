"""A figure as a file that looks the same everywhere: letters are outlines, the page is white, no date."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from sdlora.errors import ConfigError
from sdlora.files import write_atomic

INK, SOFT, GRID = "#14181F", "#59626F", "#E3E6EB"
_STYLE: dict[Any, Any] = {
    "svg.hashsalt": "sdlora",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 11,
}


def draw_picture(path: str | Path, size: tuple[float, float], draw: Callable[[Figure], None]) -> Path:
    """Have a figure drawn and write it; the same drawing gives the same bytes, and global settings stay as they are.

    Args:
        path: Ends in ``.svg`` or ``.png``; the latter has 200 pixels an inch.
        size: Width and height, inches.
        draw: Draws on the empty figure.

    Raises:
        ConfigError: If the ending is another.
        StorageError: If the file cannot be written.
    """
    target = Path(path)
    canvases = {".svg": FigureCanvasSVG, ".png": FigureCanvasAgg}
    if target.suffix not in canvases:
        raise ConfigError(f'{target} ends in "{target.suffix}"', expected=".svg or .png")
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=size, facecolor="white")
        canvas = canvases[target.suffix](figure)
        draw(figure)
        out = io.BytesIO()
        is_svg = target.suffix == ".svg"
        metadata = {"Date": None, "Creator": None} if is_svg else {"Software": None}
        canvas.print_figure(out, format=target.suffix[1:], dpi=72 if is_svg else 200, metadata=metadata)
    write_atomic(target, out.getvalue())
    return target
