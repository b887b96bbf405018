"""What all pages share: templates in which everything is escaped, one style, one palette."""

from __future__ import annotations

from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from sdlora.reports.charts import DARK, LIGHT


def page_environment() -> Environment:
    """Return the templates of this package; what is put into them is escaped, what is missing is an error."""
    return Environment(
        loader=PackageLoader("sdlora.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def page_style() -> Markup:
    """Return the style of every page, with the palette for both themes; paper is always light."""
    light = "".join(f"--c{i}:{colour};" for i, colour in enumerate(LIGHT))
    dark = "".join(f"--c{i}:{colour};" for i, colour in enumerate(DARK))
    uses = "".join(f".m{i}{{--c:var(--c{i})}}" for i in range(len(LIGHT)))
    palette = f":root{{{light}}}@media screen and (prefers-color-scheme:dark){{:root{{{dark}}}}}{uses}"
    return Markup(asset("page.css") + palette)


def asset(name: str) -> str:
    """Return a file that lies beside the templates."""
    return (resources.files("sdlora.reports") / "templates" / name).read_text(encoding="utf-8")
