"""SVG by hand: elements and markers. Texts are escaped by construction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from xml.etree.ElementTree import Element, SubElement, tostring

from markupsafe import Markup

Point = tuple[float, float]

_CORNERS: dict[str, list[Point]] = {  # of a marker of size 1
    "square": [(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
    "triangle": [(0, -1.2), (1.1, 0.8), (-1.1, 0.8)],
    "down": [(0, 1.2), (1.1, -0.8), (-1.1, -0.8)],
    "diamond": [(0, -1.25), (1.25, 0), (0, 1.25), (-1.25, 0)],
    "hexagon": [(1.1, 0), (0.55, 0.95), (-0.55, 0.95), (-1.1, 0), (-0.55, -0.95), (0.55, -0.95)],
    "plus": [
        (-0.4, -1.2), (0.4, -1.2), (0.4, -0.4), (1.2, -0.4), (1.2, 0.4), (0.4, 0.4),
        (0.4, 1.2), (-0.4, 1.2), (-0.4, 0.4), (-1.2, 0.4), (-1.2, -0.4), (-0.4, -0.4),
    ],
}  # fmt: skip
_CORNERS["cross"] = [((x - y) * 0.72, (x + y) * 0.72) for x, y in _CORNERS["plus"]]


class Drawing:
    """A picture under construction; coordinates in CSS pixels from the top left.

    Args:
        width: Of the picture.
        height: Of the picture.
        alt: What a person who cannot see it should hear; empty for decoration.
    """

    def __init__(self, width: float, height: float, alt: str) -> None:
        self.width, self.height = width, height
        size = {"viewBox": f"0 0 {_n(width)} {_n(height)}", "width": _n(width), "height": _n(height)}
        voice = {"role": "img", "aria-label": alt} if alt else {"aria-hidden": "true"}
        self._root = self._open = Element("svg", size | voice)

    def add(self, tag: str, css: str, tip: str = "", **attributes: float | str) -> Element:
        """Append an element to the open group.

        Args:
            tag: SVG element.
            css: Its classes.
            tip: Shown while the pointer rests on it.
            attributes: Underscores become hyphens; empty ones are left out.
        """
        values = {
            name.replace("_", "-"): value if isinstance(value, str) else _n(value)
            for name, value in attributes.items()
            if value != ""
        }
        element = SubElement(self._open, tag, {"class": css} | values)
        if tip:
            SubElement(element, "title").text = tip
        return element

    @contextmanager
    def group(self, css: str) -> Iterator[None]:
        """Put what is drawn inside the block into one group."""
        before, self._open = self._open, self.add("g", css)
        yield
        self._open = before

    def text(self, x: float, y: float, text: str, css: str, anchor: str = "") -> None:
        """Write a line of text with its baseline at y; `anchor` is ``"middle"`` or ``"end"``."""
        self.add("text", css, x=x, y=y, text_anchor=anchor).text = text

    def line(self, start: Point, end: Point, css: str, dash: str = "") -> None:
        """Draw a straight line."""
        self.add("line", css, x1=start[0], y1=start[1], x2=end[0], y2=end[1], stroke_dasharray=dash)

    def path(self, points: Sequence[Point], css: str, dash: str = "") -> None:
        """Draw a line through points."""
        self.add("path", css, d=_path(points), stroke_dasharray=dash)

    def marker(self, shape: str, at: Point, tip: str = "", size: float = 4.0) -> None:
        """Draw a point: circle, ring, square, triangle, down, diamond, hexagon, plus or cross."""
        if shape in ("circle", "ring"):
            self.add("circle", "ring" if shape == "ring" else "mark", tip, cx=at[0], cy=at[1], r=0.95 * size)
        else:
            corners = [(at[0] + size * x, at[1] + size * y) for x, y in _CORNERS[shape]]
            self.add("path", "mark", tip, d=_path(corners) + "z")

    def markup(self) -> Markup:
        """Return the picture, safe to stand in HTML."""
        return Markup(tostring(self._root, encoding="unicode"))


def _path(points: Sequence[Point]) -> str:
    return "M" + "L".join(f"{_n(x)} {_n(y)}" for x, y in points)


def _n(value: float) -> str:
    """Write a number with at most one decimal: enough for pixels, and short."""
    return f"{value:.1f}".removesuffix(".0")
