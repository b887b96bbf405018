import json

import pytest
from bundles import description, record
from pydantic import ValidationError

from sdlora.bundle.config import (
    MAX_CLASSES,
    Description,
    MethodSource,
    TaskRecord,
    Weakest,
    bad_class_name,
    case_twins,
    with_names,
)


def test_classes_are_those_of_the_lessons_in_order():
    known = description(("rose", "tulip"), ("fern",))
    assert known.classes == ("rose", "tulip", "fern")
    assert [known.task_of(label) for label in known.classes] == [1, 1, 2]


def test_a_lesson_in_one_line():
    assert repr(record(3, ("a", "b"), num_images=1440, held_out_accuracy=0.941, seconds=109.4)) == (
        "TaskRecord(3: 2 classes, 1440 images, held-out 94.1 %, 109 s)"
    )
    alone = record(1, ("a",), held_out_accuracy=None)
    assert str(alone) == "TaskRecord(1: 1 class, 20 images, nothing held out, 2 s)"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tasks": []}, "at least 1 item"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"seed": True}, "valid integer"),
        ({"extra": 1}, "Extra inputs"),
        (
            {"tasks": [record(1, ("a", "b")).model_dump(mode="json"), record(2, ("a",)).model_dump(mode="json")]},
            "twice",
        ),
        ({"tasks": [record(2, ("a", "b")).model_dump(mode="json")]}, "not numbered"),
        ({"tasks": [record(1, ("a", "../b")).model_dump(mode="json")]}, "path separator"),
    ],
)
def test_what_a_description_must_be(change, reason):
    document = description(("a", "b")).model_dump(mode="json") | change
    with pytest.raises(ValidationError, match=reason):
        Description.model_validate_json(json.dumps(document))


def test_a_description_survives_json():
    known = description(("rose", "tulip"), record(2, ("fern",), is_imprinted=True, updated=("rose",)))
    assert Description.model_validate_json(known.model_dump_json()) == known


def test_the_number_of_classes_is_bounded():
    with pytest.raises(ValidationError, match="more than"):
        description(tuple(map(str, range(MAX_CLASSES + 1))))


def test_only_one_class_is_written_into_the_head():
    with pytest.raises(ValidationError, match="2 classes were written"):
        record(1, ("a", "b"), is_imprinted=True)


@pytest.mark.parametrize("options", [{"rank": 10**9}, {"rank": -(10**9)}, {"targets": ("q",) * 2000}, {"x": {"y": 1}}])
def test_options_of_a_method_are_bounded(options):
    with pytest.raises(ValidationError):
        MethodSource(name="sdlora", options=options)


@pytest.mark.parametrize(
    "name", ["", " ", ".", "..", "a/b", "a\\b", "a\0b", "a\nb", "\x1b[31m", "x" * 201, "e\N{COMBINING ACUTE ACCENT}"]
)
def test_names_that_no_class_may_have(name):
    assert bad_class_name(name)


@pytest.mark.parametrize(
    "name", ["rose", "weight", "lora_A", "head.", "=1+1", "<b>", "C:", "CON", "é", "寿司", "x" * 200]
)
def test_names_that_a_class_may_have(name):
    assert bad_class_name(name) is None


def test_twins_differ_in_case_only():
    assert dict(case_twins(["Rose", "tulip", "fern"], ["rose", "tulip"])) == {"Rose": "rose"}


def test_a_name_changes_wherever_it_stands():
    weakest = Weakest(label="fern", accuracy=0.5, taken_for="rose")
    known = description(("rose", "tulip"), record(2, ("fern",), updated=("rose",), weakest=weakest))
    changed = with_names(known, {"rose": "Rosa", "fern": "rose"})
    assert changed.classes == ("Rosa", "tulip", "rose")
    assert changed.tasks[1].updated == ("Rosa",)
    assert changed.tasks[1].weakest == Weakest(label="rose", accuracy=0.5, taken_for="Rosa")
    assert isinstance(changed.tasks[0], TaskRecord)
    with pytest.raises(ValidationError, match="twice"):
        with_names(known, {"rose": "tulip"})
