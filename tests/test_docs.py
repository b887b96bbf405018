"""The README's promises: its Python runs, its commands and links exist."""

import re
import shlex
from pathlib import Path

import pytest

from sdlora.config.load import load_recipe, parse_recipe

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(language: str) -> list[str]:
    found = re.findall(r"^```(\w*)\n(.*?)^```$", README, flags=re.DOTALL | re.MULTILINE)
    return [text for name, text in found if name == language]


def test_the_python_of_the_readme_runs():
    (code,) = blocks("python")
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert not any("lora" in name for name, _ in names["plain"].named_parameters())


def test_recipes_and_overrides_of_the_readme_are_valid():
    commands = [line.split(" #")[0] for block in blocks("") for line in block.splitlines() if "sdlora train" in line]
    assert len(commands) >= 2
    for command in commands:
        recipe, *overrides = shlex.split(command)[2:]
        load_recipe(recipe, overrides)


def test_the_recipe_of_the_readme_is_valid():
    (text,) = blocks("toml")
    recipe = parse_recipe(text.encode(), [], name="README")
    assert recipe.stream.dataset == "folder"


def test_make_knows_the_targets_of_the_readme():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"^make (\w+)", README, flags=re.MULTILINE)
    assert {"demo", "test"} <= set(targets)
    assert all(f"\n{target}:" in makefile for target in targets)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#:]+)\)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target
