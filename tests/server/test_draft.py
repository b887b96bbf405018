import pytest

from sdlora.server.draft import Draft, DraftClass, clean
from sdlora.server.problems import ProblemError


def test_a_draft_is_stored_whole():
    draft = Draft("ab", "2026-01-01", [DraftClass("k", "rose", {"1": "aa", "2": "bb"}), DraftClass("l", "")], 3)
    assert Draft.from_json(draft.to_json()) == draft
    assert draft.num_pictures == 2
    assert draft.find("l").name == ""
    with pytest.raises(ProblemError, match="no class 'x'"):
        draft.find("x")


@pytest.mark.parametrize("value", [{}, [], None, {"classes": [{}]}, {"classes": 5}])
def test_something_else_is_no_draft(value):
    with pytest.raises(ValueError, match="no draft"):
        Draft.from_json(value)


def test_names_are_composed_and_bounded():
    assert clean(" cafe\u0301 ") == "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    with pytest.raises(ProblemError, match="201 characters"):
        clean("x" * 201)
