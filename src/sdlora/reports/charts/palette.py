"""One look for each method on the whole page: colour, dash and marker.

Colours keep a contrast of at least 3:1 with the page in both themes, and a CIELAB distance of at least 12 from each
other under simulated protanopia, deuteranopia and tritanopia. Dash and marker tell methods apart without any colour.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from sdlora.reports.charts.svg import Drawing

LIGHT = ("#0B62B5", "#D1520A", "#0B8A6D", "#B07CC0", "#6E1423", "#3B1FA8", "#7F9A2E")
DARK = ("#5AA9F2", "#F58B4C", "#35C79F", "#F4BCE6", "#E8445E", "#8577C9", "#E6EE5C")

_DASHES = ("", "7 3", "2 3", "9 3 2 3", "14 4", "5 2 1 2", "1 2")
_MARKERS = ("circle", "square", "triangle", "diamond", "down", "plus", "hexagon", "cross")


@dataclass(frozen=True)
class Look:
    """How a method is drawn.

    Attributes:
        colour: Index into `LIGHT` and `DARK`; None for joint training, which is drawn in the ink of the text.
        dash: SVG dash pattern, empty for a solid line.
        marker: Shape of a point.
    """

    colour: int | None
    dash: str
    marker: str

    @property
    def css_class(self) -> str:
        """Class that sets the colour."""
        return "joint" if self.colour is None else f"m{self.colour}"


def looks(labels: Iterable[str], joint: Iterable[str]) -> dict[str, Look]:
    """Give every label its look, in the order given: the first seven differ in all, the first 56 in dash or marker.

    Args:
        labels: Names of methods, those first that must be told apart best.
        joint: Names of joint training.
    """
    found = {
        label: Look(i % len(LIGHT), _DASHES[i % len(_DASHES)], _MARKERS[i % len(_MARKERS)])
        for i, label in enumerate(dict.fromkeys(labels))
    }
    return found | {label: Look(None, "5 4", "ring") for label in joint}


def swatch(look: Look) -> Markup:
    """Draw a method's line and marker, for legends and tables."""
    drawing = Drawing(34, 12, "")
    with drawing.group(look.css_class):
        drawing.line((1, 6), (33, 6), "line", look.dash)
        drawing.marker(look.marker, (17, 6))
    return drawing.markup()
