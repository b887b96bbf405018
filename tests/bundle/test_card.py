import re

import pytest
from bundles import description, record, tensors

from sdlora.bundle import BackboneSource, MethodSource, Retest, commit_lesson
from sdlora.bundle.card import model_card


def card_of(path, *lessons, former=""):
    config = commit_lesson(path, description(*lessons), tensors(), parent_generation=None)
    return model_card(config, former)


def test_the_card_says_what_is_known(tmp_path):
    retest = Retest(name="winter_test", classes=2, num_images=300, before=0.96, after=0.953)
    text = card_of(tmp_path / "m", ("rose", "tulip"), record(2, ("fern",), retests=(retest,)))
    assert "- lesson 1: rose, tulip\n- lesson 2: fern" in text
    assert "| 2 | 2026-09-02 | 1 | 20 | 75.0 % | 3 |" in text
    assert "| winter&#95;test | 300 | 95.3 % | 2026-09-02 | lesson 2 |" in text
    assert "Not known" not in text
    assert "## Notes" not in text


def test_what_was_not_measured_is_named(tmp_path):
    text = card_of(tmp_path / "m", ("rose", "tulip"), record(2, ("fern",), held_out_accuracy=None))
    assert "- lesson 1: its accuracy after lesson 2 was not measured" in text
    assert "- lesson 2: its accuracy after lesson 2 was not measured" in text
    assert "## Measured" not in text


def test_a_lesson_that_no_retest_shows_is_not_known(tmp_path):
    retest = Retest(name="winter_test", classes=2, tasks=(1,), num_images=300, before=0.96, after=0.953)
    text = card_of(tmp_path / "m", ("a", "b"), ("c", "d"), record(3, ("e",), retests=(retest,)))
    assert "lesson 1: its accuracy" not in text
    assert "- lesson 2: its accuracy after lesson 3 was not measured" in text


def test_a_tag_stands_there_once(tmp_path):
    made = description(("a", "b"))
    named = made.model_copy(update={"method": MethodSource(name="sdlora", options={})})
    config = commit_lesson(tmp_path / "m", named, tensors(), parent_generation=None)
    assert model_card(config).splitlines().count("- sdlora") == 1


def test_notes_belong_to_the_owner(tmp_path):
    path = tmp_path / "m"
    first = commit_lesson(path, description(("a", "b")), tensors(), parent_generation=None)
    card = path / "README.md"
    card.write_text(card.read_text() + "\n## Notes\nMade for the *shop*.\n\n## My own heading\nyes\n")
    commit_lesson(path, description(("a", "b"), ("c",)), tensors(1), parent_generation=first.generation)
    text = card.read_text()
    assert text.endswith("## Notes\nMade for the *shop*.\n\n## My own heading\nyes\n")
    assert "lesson 2: c" in text


def test_names_are_text_and_nothing_else(tmp_path):
    hostile = ("<script>alert(1)</script".replace("/", ""), "[a](javascript:b)", "`x`", "| y |", "**z**")
    text = card_of(tmp_path / "m", hostile)
    body = text.partition("## Recognises")[2].partition("## How")[0]
    assert not re.search(r"[<>`*\[\]()|]", body.replace("- lesson", ""))


def test_the_card_names_no_place(tmp_path):
    assert str(tmp_path) not in card_of(tmp_path / "secret_place", ("a", "b"))
    assert "secret_place" not in (tmp_path / "secret_place" / "README.md").read_text()


@pytest.mark.parametrize(
    ("backbone", "method", "told"),
    [
        ("vit_tiny_patch16_224.augreg_in21k", "sdlora", True),
        ("vit_tiny_patch16_224.augreg_in21k", "l2p", False),
        ("vit_tiny_patch16_224.augreg_in21k", "from_elsewhere", False),
        ("untrained_vit", "sdlora", False),
    ],
)
def test_timm_is_named_where_it_can_load_the_model(tmp_path, backbone, method, told):
    source = {
        "backbone": BackboneSource(name=backbone, sha256="0" * 64),
        "method": MethodSource(name=method, options={}),
    }
    made = description(("a", "b")).model_copy(update=source)
    card = model_card(commit_lesson(tmp_path / "m", made, tensors(), parent_generation=None))
    assert ('timm.create_model("local-dir:FOLDER-timm", pretrained=True)' in card) == told
    assert (f"base_model: timm/{backbone}" in card) == ("." in backbone)


@pytest.mark.parametrize(
    ("options", "plain", "layers"),
    [
        ({"head": "discriminant"}, True, False),
        ({"head": "discriminant", "layers": 3}, False, True),
        ({"head": "ridge"}, False, False),
        ({"head": "ridge", "layers": "all"}, False, False),
    ],
)
def test_timm_is_said_to_hold_what_its_export_holds(tmp_path, options, plain, layers):
    source = {
        "backbone": BackboneSource(name="vit_tiny_patch16_224.augreg_in21k", sha256="0" * 64),
        "method": MethodSource(name="sdlora", options=options),
    }
    made = description(("a", "b")).model_copy(update=source)
    card = model_card(commit_lesson(tmp_path / "m", made, tensors(), parent_generation=None))
    assert ('timm.create_model("local-dir:FOLDER-timm", pretrained=True)' in card) == plain
    assert ("predicts from several of its" in card) == layers
