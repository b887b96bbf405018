"""What keeps a lesson from being taught."""

import pytest

from sdlora.server.draft import Draft, DraftClass
from sdlora.server.rules import flaws


def draft(**classes):
    return Draft(
        "x",
        "",
        [
            DraftClass(f"k{i}", name, {str(n): c for n, c in enumerate(digests)})
            for i, (name, digests) in enumerate(classes.items())
        ],
    )


def codes(found):
    return [(flaw.code, flaw.key) for flaw in found]


def test_a_lesson_without_flaws():
    assert flaws(draft(rose="ab", moss="cd"), known=[]) == []
    assert flaws(draft(rose="ab"), known=["fern"]) == []


def test_the_first_lesson_needs_two():
    (flaw,) = flaws(draft(rose="ab"), known=[])
    assert flaw.message == "The first lesson needs two classes. Add a second."
    assert codes(flaws(draft(), known=["fern"])) == [("too_few_classes", None)]


def test_empty_cards_do_not_count():
    lesson = draft(rose="ab", moss="cd")
    lesson.classes.append(DraftClass("k9", ""))
    assert flaws(lesson, known=[]) == []


@pytest.mark.parametrize(
    ("name", "pictures", "code"),
    [
        ("", "x", "no_name"),
        ("rose", "x", "known"),
        ("Rose", "x", "twice"),
        ("fern", "", "no_pictures"),
        ("../fern", "x", "bad_name"),
        ("fe\x1b[31mrn", "x", "bad_name"),
        ("Moss", "x", "twice"),
    ],
)
def test_flaws_stand_at_their_class(name, pictures, code):
    found = flaws(draft(**{"moss": "ab", name: pictures}), known=["rose"])
    assert (code, "k1") in codes(found)


def test_one_picture_in_two_classes():
    (flaw,) = flaws(draft(fern="abc", moss="xbc"), known=["rose"])
    assert flaw.message == "The same picture is in fern and moss."
    assert flaw.key == "k1"
