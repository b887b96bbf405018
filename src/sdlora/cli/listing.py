"""``sdlora list``: the methods, recipes, datasets and backbones there are."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from sdlora.cli.console import Console
from sdlora.cli.options import with_console
from sdlora.errors import ConfigError
from sdlora.registry import nearest

EXAMPLES = ("sdlora list methods sdlora", "sdlora list recipes glyphs100")

KINDS = ("methods", "recipes", "datasets", "backbones")
HINTS = {
    "methods": "Details: sdlora list methods NAME      Use: sdlora train glyphs100_10/NAME",
    "recipes": "Run one: sdlora train NAME      Look inside: sdlora train NAME --print",
    "datasets": "Use one: sdlora train RECIPE stream.dataset=NAME",
    "backbones": "Use one: sdlora train RECIPE backbone.name=NAME",
}

Kind = Annotated[str, typer.Argument(metavar="|".join(KINDS), help="What to list.")]
Text = Annotated[
    str | None, typer.Argument(metavar="[TEXT]", help="Part of a name, or a whole one.", show_default=False)
]

Cost = Annotated[bool, typer.Option("--cost", help="Measure what methods take on ViT-B/16; some 20 s for all.")]

Entry = dict[str, Any]

WORDS = ("trains", "source")  # of a method, for which there is no room beside its costs
COSTS = ("passes", "gflops", "learnable", "kept")  # null in a document where nobody asked for them
HEADS = {
    "rehearsal_free": "rehearsal-free",
    "end_to_end": "end-to-end",
    "gflops": "GFLOPs",
}  # where a key is not its own best name


@with_console
def listing(console: Console, kind: Kind, text: Text = None, *, cost: Cost = False) -> int:
    """List what there is.

    The whole name of a method also shows its options and recipes. With --cost: passes through the backbone and GFLOPs
    of a prediction, learnable parameters and numbers kept of old data after 20 tasks of 10 classes.
    """
    if kind not in KINDS:
        close = nearest(kind, list(KINDS))
        raise ConfigError(
            f'there is no list "{kind}"',
            expected=f"one of {', '.join(KINDS)}",
            fix=f"sdlora list {close}" if close else None,
        )
    if cost and kind != "methods":
        raise ConfigError(f"{kind} have no cost", fix="sdlora list methods --cost")
    found = select(kind, entries(kind), text)
    if cost:
        console.note("Measuring on ViT-B/16, without weights; about a second a method, ease takes ten.")
        found = with_costs(found)
    console.document(found)
    for line in table(found, singular(kind), leave_out=WORDS if cost else COSTS):
        console.result(line)
    for line in details(found[0]) if kind == "methods" and len(found) == 1 else ():
        console.result(line)
    console.note(HINTS[kind].replace("NAME", found[0]["name"]) if len(found) == 1 else HINTS[kind])
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
            f'no {singular(kind)} matches "{text}"', fix=f"sdlora list {kind}" + (f" {close}" if close else "")
        )
    return found


def singular(kind: str) -> str:
    """Return what one entry of a list is called."""
    return kind.removesuffix("s")


def with_costs(found: Sequence[Entry]) -> list[Entry]:
    """Return methods with what they take."""
    from sdlora.cli import inventory

    measured = inventory.costs([entry["name"] for entry in found])
    return [entry | cost for entry, cost in zip(found, measured, strict=True)]


def table(found: Sequence[Entry], what: str = "name", *, leave_out: Sequence[str] = ()) -> list[str]:
    """Return entries as aligned columns, without what only `details` shows; the first column is headed `what`."""
    keys = [key for key in found[0] if key not in leave_out and not isinstance(found[0][key], list)]
    heads = [what if key == "name" else HEADS.get(key, key.replace("_", " ")) for key in keys]
    return _aligned([heads, *([_word(entry[key]) for key in keys] for entry in found)])


def details(entry: Entry) -> list[str]:
    """Return what a method takes, each option with its meaning below, and the recipes that use it."""
    options = entry["options"]
    rows = [["option", "default", "type"], *([o["name"], o["default"] or "absent", o["type"]] for o in options)]
    head, *lines = _aligned(rows)
    about = [_wrapped((option["about"] or "").replace("``", "")) for option in options]
    explained = [line for pair in zip(lines, about, strict=True) for line in (pair[0], *pair[1])]
    shown = [head, *explained] if options else ["no options"]
    return ["", *shown, "", "recipes", *_wrapped(", ".join(entry["recipes"]) or "none")]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 100, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}" if value == round(value) else f"{value:.2f}"
    return "-" if value is None else f"{value:,}" if isinstance(value, int) else str(value)
