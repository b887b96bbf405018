"""H1, H4, I6: names are data, never a path, a tag or a terminal code; tensors that hold no numbers are named."""

from __future__ import annotations

import os
import re
import unicodedata
from html.parser import HTMLParser

import pytest
import torch
from audit import audited
from bundles import contents, description, newest, tensors
from hostile import NAMES
from lessons import learner
from pictures import encode, photo
from pydantic import ValidationError

from sdlora.bundle import commit_lesson, read_bundle, read_config
from sdlora.bundle.names import bad_class_name
from sdlora.cli.console import Console
from sdlora.config.load import load_recipe, parse_recipe
from sdlora.config.write import toml_value
from sdlora.datasets.folder import list_folder
from sdlora.errors import BundleError, ConfigError, DataError
from sdlora.files import tensor_bytes
from sdlora.learner import Learner
from sdlora.server.drafts import Drafts
from sdlora.server.limits import Limits
from sdlora.server.problems import ProblemError
from sdlora.server.rules import flaws

PICTURE = encode(photo(8, 8))
GOOD = [name for name in NAMES if bad_class_name(name) is None]


@pytest.fixture
def canary(place, monkeypatch):
    """A place with nothing in it but the folder to work in; nothing is put beside it, executed or fetched (H5)."""
    work = place / "canary" / "work"
    work.mkdir(parents=True)
    monkeypatch.chdir(work)
    monkeypatch.setenv("HOME", str(work))
    with audited() as events:
        yield work
    assert events == []
    assert [path.name for path in place.iterdir()] == ["canary"]
    assert [path.name for path in work.parent.iterdir()] == ["work"]


def test_there_are_a_hundred_names_of_both_kinds():
    assert len(set(NAMES)) == len(NAMES) >= 100
    assert 40 <= len(GOOD) <= len(NAMES) - 40


def printable(text):
    return all(char.isprintable() or char == "\n" for char in text)


@pytest.mark.parametrize("name", NAMES, ids=range(len(NAMES)))
def test_h1_a_class_in_a_bundle(canary, name):
    if name not in GOOD:
        with pytest.raises(ValidationError):
            description((name, "other"))
        return
    commit_lesson(canary / "m", description((name, "other")), tensors(), parent_generation=None)
    assert read_config(canary / "m").classes == (name, "other")
    weights = read_config(canary / "m").weights.file
    assert set(contents(canary / "m")) == {"config.json", "README.md", "history/1.json", weights}


def test_h1_a_file_that_a_bundle_names(canary):
    commit_lesson(canary / "m", description(("a", "b")), tensors(), parent_generation=None)
    file = newest(canary / "m")
    before = file.read_text()
    weights = read_config(canary / "m").weights.file
    for name in {*NAMES} - {weights}:
        quoted = toml_value(name.encode("utf-8", "replace").decode())
        file.write_text(before.replace(f'"{weights}"', quoted))
        with pytest.raises(BundleError, match=r"weights\.file|damaged|missing") as caught:
            read_bundle(canary / "m")
        assert printable(str(caught.value))


def test_h1_a_tensor_in_a_bundle(canary):
    learner("probe", (0, 1)).save(canary / "m")
    good = read_bundle(canary / "m")
    text = [name for name in NAMES if all(unicodedata.category(char) != "Cs" for char in name)]  # no file holds others
    for number, name in enumerate(text):
        held = {**good.tensors, name: torch.ones(1)}
        commit_lesson(canary / f"{number}", good.config, held, parent_generation=None)
        with pytest.raises(BundleError, match=r"it calls a tensor|is unknown") as caught:
            Learner.load(canary / f"{number}", device="cpu")
        assert printable(str(caught.value))


def test_h1_a_folder_of_pictures(canary):
    listed, said = 0, []
    for number, name in enumerate(NAMES):
        root = canary / f"{number}"
        try:
            (root / "other").mkdir(parents=True)
            (root / "other" / "1.png").write_bytes(PICTURE)
            os.mkdir(f"{root}/{name}") if "/" not in name else None
            (root / name / "1.png").write_bytes(PICTURE)
        except (OSError, ValueError):
            continue  # no such name can be in a folder
        if root not in (root / name).resolve().parents:
            continue
        try:
            classes = list_folder(root).classes
        except DataError as error:
            said.append(str(error))
            continue
        listed += 1
        assert all(bad_class_name(found) is None for found in classes)
        assert set(classes) <= {"other", unicodedata.normalize("NFC", name)}
    assert min(listed, len(said)) > 10
    assert all(map(printable, said))


def test_h1_a_recipe(canary, capsys):
    """The text of an error repeats the name; the console that prints it does not obey it."""
    for name in NAMES:
        text = toml_value(name.encode("utf-8", "replace").decode())
        for key in ("backbone.name", "method.name", "stream.dataset"):
            with pytest.raises(ConfigError) as caught:
                parse_recipe(b"", [f"{key}={text}"], name="made up")
            Console().error(str(caught.value))
        with pytest.raises(ConfigError) as caught:
            load_recipe(name)
        Console().error(str(caught.value))
    assert printable(capsys.readouterr().err)
    assert list(canary.iterdir()) == []


def test_h1_an_upload(canary):
    drafts, said = Drafts(canary / "drafts", Limits()), []
    for name in NAMES:
        draft = drafts.create()
        try:
            entry = drafts.add_class(draft.id, name.encode("utf-8", "replace").decode())
        except ProblemError as problem:
            said.append(str(problem))
        else:
            drafts.add_picture(draft.id, entry.key, PICTURE)
            assert bad_class_name(entry.name) is None or flaws(draft, ["rose"]), name
        files = {path.name for path in drafts.folder(draft).rglob("*")}
        assert all(re.fullmatch(r"draft\.json|[0-9a-f]+|[0-9a-f]+\.png", file) for file in files), files
        drafts.remove(draft.id)
    assert len(said) >= 2
    assert all(map(printable, said))
    assert list(canary.iterdir()) == []


class Tags(HTMLParser):
    """Collects what a browser would see as elements."""

    def __init__(self):
        super().__init__()
        self.tags = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)


def test_i6_names_on_the_card_are_text(canary):
    config = commit_lesson(canary / "m", description(tuple(GOOD)), tensors(), parent_generation=None)
    card = (canary / "m" / "README.md").read_text()
    assert len(config.classes) >= 40
    assert printable(card)
    parser = Tags()
    parser.feed(card)
    assert parser.tags == []
    told = card.partition("## Recognises")[2].partition("## How")[0]
    assert not set("<>`*[]|{}$@") & set(told)


VALUES = [float("nan"), float("inf"), float("-inf"), 1e30]


@pytest.mark.parametrize("value", VALUES)
def test_h4_each_tensor_of_a_model_is_named(canary, value):
    learner("sdlora", (0, 1), (2, 3)).save(canary / "m")
    bundle = read_bundle(canary / "m")
    floats = [name for name, tensor in bundle.tensors.items() if tensor.is_floating_point() and tensor.numel()]
    assert len(floats) > 10
    for number, name in enumerate(floats):
        changed = {key: tensor.clone() for key, tensor in bundle.tensors.items()}
        changed[name].view(-1)[-1] = value
        commit_lesson(canary / f"{number}", bundle.config, changed, parent_generation=None)
        with pytest.raises(BundleError, match=rf"tensor {name} holds the value"):
            Learner.load(canary / f"{number}", device="cpu")
        assert len(tensor_bytes(changed)) == bundle.config.weights.size
