"""What there is, as rows for ``sdlora list``; each function imports no more than its list needs."""

from __future__ import annotations

import inspect
import itertools
import tomllib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

MADE_HERE = ("alphabets", "digits", "glyphs", "glyphs100", "synthetic")
"""Datasets that need no folder: they are drawn, or come with scikit-learn."""


def methods() -> list[dict[str, Any]]:
    """Return every method with what is declared of it, the options of its constructor, and the recipes that use it."""
    from sdlora.methods import METHODS

    users = recipes()
    rows = []
    for name in METHODS:
        method = METHODS.get(name)
        rows.append(
            {
                "name": name,
                "trains": method.facts.trains,
                "rehearsal_free": method.facts.rehearsal_free,
                "one_pass": method.facts.one_pass,
                "end_to_end": method.facts.end_to_end,
                "merges": method.mergeable,
                "source": method.facts.source,
                **dict.fromkeys(("passes", "gflops", "learnable", "kept")),  # measured by `costs`
                "options": _options(method),
                "recipes": [recipe["name"] for recipe in users if recipe["method"] == name],
            }
        )
    return rows


def costs(names: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Measure what methods take on ViT-B/16 after 20 tasks of 10 classes, one by one.

    Yields:
        ``passes``, ``gflops``, ``learnable`` and ``kept`` numbers, in the order of `names`.
    """
    from sdlora.reports.table5 import measure_table5

    for row in measure_table5(names):
        found = row.footprint
        gflops = found.flops / 1e9  # rounded once, where it is printed
        yield {"passes": found.passes, "gflops": gflops, "learnable": found.learnable, "kept": found.kept}


def meanings(thing: object) -> dict[str, str]:
    """Return what the docstring of a class or function says of each argument."""
    lines = inspect.cleandoc(inspect.getdoc(thing) or "").partition("Args:\n")[2].splitlines()
    found: dict[str, str] = {}
    name = ""
    for line in itertools.takewhile(lambda line: line.startswith("    "), lines):
        if line.startswith(" " * 8):
            found[name] += f" {line.strip()}"
        else:
            name, _, meaning = line.strip().partition(": ")
            found[name] = meaning
    return found


def _options(call: Callable[..., Any]) -> list[dict[str, str | None]]:
    """Return each argument that a recipe can set; a default of None is one of ``absent``."""
    from sdlora.config.signature import section_of, words
    from sdlora.config.write import toml_value

    about = meanings(call)
    return [
        {
            "name": name,
            "type": words(field),
            "default": "required"
            if field.is_required()
            else None
            if field.default is None
            else toml_value(field.default),
            "about": about.get(name),
        }
        for name, field in section_of(call).model_fields.items()
    ]


def recipes() -> list[dict[str, Any]]:
    """Return every shipped recipe with what it runs on what."""
    from sdlora.config.find import shipped_recipes

    rows = []
    for name, path in shipped_recipes().items():
        text = path.read_text(encoding="utf-8")
        document = tomllib.loads(text)
        stream = document["stream"]
        rows.append(
            {
                "name": name,
                "method": document["method"]["name"],
                "dataset": stream["dataset"],
                "tasks": stream.get("num_tasks", len(stream.get("task_sizes", ()))),
                "about": text.partition("\n")[0].lstrip("# "),
            }
        )
    return rows


def datasets() -> list[dict[str, Any]]:
    """Return every dataset and whether it is there."""
    from sdlora.datasets import DATASETS
    from sdlora.datasets.base import default_root

    rows = []
    for name in DATASETS:
        about = (inspect.getdoc(DATASETS.get(name)) or "").partition("\n")[0]
        state = "ready" if name in MADE_HERE else _state(default_root(name))
        rows.append({"name": name, "state": state, "about": about})
    return rows


def backbones() -> list[dict[str, Any]]:
    """Return every backbone that `load_backbone` knows by name."""
    from sdlora.backbones.names import backbone_names
    from sdlora.backbones.vit import SHIPPED, UNTRAINED

    about = {SHIPPED: "shipped: pretrained on rendered characters", UNTRAINED: "random and tiny, for trials"}
    return [
        {"name": name, "about": about.get(name, "timm: fetched from the hub when first used")}
        for name in backbone_names()
    ]


def _state(folder: Path) -> str:
    return f"found in {folder}" if folder.is_dir() else f"waits for {folder}, or stream.root=FOLDER"
