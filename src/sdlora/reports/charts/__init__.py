"""Pictures for pages: SVG whose colours come from the page's style, so that they follow its theme."""

from sdlora.reports.charts.axes import HALF, NARROW, WIDE
from sdlora.reports.charts.heat_map import heat_map, scale_bar
from sdlora.reports.charts.line_chart import Series, line_chart
from sdlora.reports.charts.palette import DARK, LIGHT, Look, looks, swatch
from sdlora.reports.charts.scatter_chart import Dot, scatter_chart

__all__ = [
    "DARK",
    "HALF",
    "LIGHT",
    "NARROW",
    "WIDE",
    "Dot",
    "Look",
    "Series",
    "heat_map",
    "line_chart",
    "looks",
    "scale_bar",
    "scatter_chart",
    "swatch",
]
