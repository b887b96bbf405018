import json

import pytest
from bundles import description, record
from pydantic import ValidationError

from sdlora.bundle import Description, TaskRecord, Weakest
from sdlora.bundle.config import MAX_CLASSES, with_names


def test_classes_are_those_of_the_lessons_in_order():
    known = description(("rose", "tulip"), ("fern",))
    assert known.classes == ("rose", "tulip", "fern")
    assert [known.task_of(label) for label in known.classes] == [1, 1, 2]


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
    known = description(("rose", "tulip"), record(2, ("fern",), chance=0.3, updated=("rose",)))
    assert Description.model_validate_json(known.model_dump_json()) == known


def test_the_number_of_classes_is_bounded():
    with pytest.raises(ValidationError, match="more than"):
        description(tuple(map(str, range(MAX_CLASSES + 1))))


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
