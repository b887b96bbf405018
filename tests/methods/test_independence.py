"""A method is one source file, one import line, one test file and a recipe; it knows no other method."""

from __future__ import annotations

import ast
import copy
from pathlib import Path
from typing import ClassVar

import pytest
from teaching import make_tasks

import sdlora.methods
from sdlora.backbones.vit import Backbone
from sdlora.cli import inventory
from sdlora.config.build import build
from sdlora.config.load import parse_recipe
from sdlora.costs import measure, teach_made_up
from sdlora.methods import METHODS, Facts
from sdlora.methods.linear_classifier import LinearClassifier

SOURCE = Path(sdlora.methods.__file__).parent
SHARED = {"__init__", "base", "linear_classifier", "plain"}  # what methods have in common, and what reads them all
FILES = sorted(path.stem for path in SOURCE.glob("*.py") if path.stem not in SHARED)

# What the paper's Table 1 says: rehearsal-free, one pass, end-to-end.
TABLE_1 = {
    "l2p": (True, False, False),
    "dualprompt": (True, False, False),
    "coda_prompt": (True, False, True),
    "hide_prompt": (False, False, True),
    "inflora": (False, True, True),
    "sdlora": (True, True, True),
}


def imported(path: Path) -> set[str]:
    """Return the modules of this package that a file imports, however it does so."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name.split(".")[2] for name in found if name.startswith("sdlora.methods.")}


def test_a_file_is_a_method_of_its_name():
    assert METHODS.names() == FILES
    assert {METHODS.get(name).__module__ for name in FILES} == {f"sdlora.methods.{name}" for name in FILES}


@pytest.mark.parametrize("name", FILES)
def test_no_method_imports_another(name):
    assert imported(SOURCE / f"{name}.py") <= {"base", "linear_classifier", "METHODS", "Method"}


@pytest.mark.parametrize("name", FILES)
def test_every_method_has_tests_of_its_own(name):
    assert (Path(__file__).parent / f"test_{name}.py").is_file()


def test_every_method_has_a_recipe():
    used = {row["method"] for row in inventory.recipes()}
    assert set(METHODS.names()) <= used


@pytest.mark.parametrize("name", TABLE_1)
def test_facts_are_those_of_table_1(name):
    facts = METHODS.get(name).facts
    assert (facts.rehearsal_free, facts.one_pass, facts.end_to_end) == TABLE_1[name]


@pytest.fixture
def toy(monkeypatch):
    """Register a method for one test."""
    monkeypatch.setattr(METHODS, "_things", copy.copy(METHODS._things))

    @METHODS.register("toy")
    class Toy(LinearClassifier):
        """Learn nothing but a head.

        Args:
            backbone: Frozen.
            head_lr_scale: Multiplies the learning rate of the head.
        """

        facts: ClassVar[Facts] = Facts("a head", "made up", True, True, True)
        mergeable: ClassVar[bool] = True

        def __init__(self, backbone: Backbone, *, head_lr_scale: float = 2.0) -> None:
            super().__init__(backbone, head_lr_scale=head_lr_scale)

        def trained(self):
            return []

    return Toy


RECIPE = b"""
[run]
seeds = [0]
output_dir = "runs/toy"
[stream]
dataset = "synthetic"
num_tasks = 2
[data]
num_classes = 4
train_images = 2
test_images = 1
[backbone]
name = "untrained_vit"
[method]
name = "toy"
head_lr_scale = 3.0
[optim]
name = "sgd"
lr = 0.1
momentum = 0.0
epochs = 1
batch_size = 4
"""


def test_registering_is_all_that_a_new_method_needs(toy):
    (row,) = (row for row in inventory.methods() if row["name"] == "toy")
    assert row["options"][0]["default"] == "2.0"
    method = build(parse_recipe(RECIPE, name="toy")).method()
    assert isinstance(method, toy)
    assert method.head_lr_scale == 3.0
    images, labels = teach_made_up(method, make_tasks(2, 2))
    assert measure(method, build(parse_recipe(RECIPE, name="toy")).backbone, images, labels).end_to_end
