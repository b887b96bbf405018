"""``sdlora list``: the methods, recipes, datasets and backbones there are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer

from sdlora.cli.console import Console
from sdlora.cli.options import with_console
from sdlora.errors import ConfigError
from sdlora.registry import nearest

EXAMPLES = ("sdlora list recipes glyphs100", "sdlora list methods sdlora")

KINDS = ("methods", "recipes", "datasets", "backbones")
HINTS = {
    "methods": "Options of one: sdlora list methods NAME",
    "recipes": "Run one: sdlora train NAME      Look inside: sdlora train NAME --print",
    "datasets": "Use one: sdlora train RECIPE stream.dataset=NAME",
    "backbones": "Use one: sdlora train RECIPE backbone.name=NAME",
}

Kind = Annotated[str, typer.Argument(metavar="|".join(KINDS), help="What to list.")]
Text = Annotated[
    str | None, typer.Argument(metavar="[TEXT]", help="Part of a name, or a whole one.", show_default=False)
]

Entry = dict[str, Any]


@with_console
def listing(console: Console, kind: Kind, text: Text = None) -> int:
    """List what there is.

    The whole name of a method also shows its options and recipes.
    """
    if kind not in KINDS:
        close = nearest(kind, list(KINDS))
        raise ConfigError(
            f'there is no list "{kind}"',
            expected=f"one of {', '.join(KINDS)}",
            fix=f"sdlora list {close}" if close else None,
        )
    found = select(kind, entries(kind), text)
    console.document(found)
    for line in table(found):
        console.result(line)
    for line in details(found[0]) if kind == "methods" and len(found) == 1 else ():
        console.result(line)
    console.note(HINTS[kind])
    return 0


def entries(kind: str) -> list[Entry]:
    """Return all entries of a list, each with its name first."""
    from sdlora.cli import inventory

    return {
        "methods": inventory.methods,
        "recipes": inventory.recipes,
        "datasets": inventory.datasets,
        "backbones": inventory.backbones,
    }[kind]()


def select(kind: str, known: Sequence[Entry], text: str | None) -> list[Entry]:
    """Return the entry called `text`, or else those whose names contain it.

    Raises:
        ConfigError: If there is none.
    """
    if text is None:
        return list(known)
    exact = [entry for entry in known if entry["name"] == text]
    found = exact or [entry for entry in known if text.casefold() in entry["name"].casefold()]
    if not found:
        close = nearest(text, [entry["name"] for entry in known])
        raise ConfigError(
            f'no {kind.removesuffix("s")} matches "{text}"', fix=f"sdlora list {kind}" + (f" {close}" if close else "")
        )
    return found


def table(found: Sequence[Entry]) -> list[str]:
    """Return entries as aligned columns, without what only `details` shows."""
    keys = [key for key in found[0] if not isinstance(found[0][key], list)]
    return _aligned(
        [[key.replace("_", " ") for key in keys], *([_word(entry[key]) for key in keys] for entry in found)]
    )


def details(entry: Entry) -> list[str]:
    """Return what a method takes, and the recipes that use it."""
    rows = [["option", "default", "type"]]
    rows += [[option["name"], option["default"] or "absent", option["type"]] for option in entry["options"]]
    return ["", *_aligned(rows), "", f"recipes: {', '.join(entry['recipes']) or 'none'}"]


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
