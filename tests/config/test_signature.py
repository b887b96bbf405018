from collections.abc import Sequence
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field, ValidationError

from sdlora.config.schema import Section, StepsSection
from sdlora.config.signature import section_of, with_sections, words


class Thing:
    def __init__(
        self,
        backbone: bytes,
        *,
        rank: Annotated[int, Field(ge=1, le=384)],
        preset: Literal["a", "b"] = "a",
        ranks: tuple[int, ...] = (),
        limit: float | None = None,
        bias: bool = True,
        names: Sequence[str] = (),
        steps: Literal["paper"] | Sequence[tuple[int, int]] | None = None,
        **others: Any,
    ) -> None: ...


def test_keys_are_the_arguments_that_toml_can_express():
    assert list(section_of(Thing).model_fields) == ["rank", "preset", "ranks", "limit", "bias", "names", "steps"]
    assert list(section_of(Thing, leave_out=("rank",)).model_fields) == [
        "preset",
        "ranks",
        "limit",
        "bias",
        "names",
        "steps",
    ]


def test_defaults_and_conversions():
    section = section_of(Thing)(rank=4, limit=2)
    assert section.model_dump() == {
        "rank": 4,
        "preset": "a",
        "ranks": (),
        "limit": 2.0,
        "bias": True,
        "names": (),
        "steps": None,
    }
    assert section_of(Thing)(rank=4, steps=((4, 8), (8, 6)), names=("a",)).steps == ((4, 8), (8, 6))
    assert isinstance(section.limit, float)


@pytest.mark.parametrize(
    "bad",
    [
        {},
        {"rank": 0},
        {"rank": 385},
        {"rank": "4"},
        {"rank": 4.0},
        {"rank": True},
        {"rank": 4, "bias": 1},
        {"rank": 4, "names": "a"},
        {"rank": 4, "steps": ((4,),)},
    ],
)
def test_bounds_and_types_are_strict(bad):
    with pytest.raises(ValidationError):
        section_of(Thing)(**bad)


def test_partial_lets_everything_be_absent_but_nothing_be_wrong():
    section = section_of(Thing, partial=True)
    assert section().model_dump(exclude_none=True) == {}
    with pytest.raises(ValidationError):
        section(rank=0)


def test_with_sections_keeps_whether_a_table_may_be_absent():
    class Whole(Section):
        part: Section
        other: Section = Section()

    model = with_sections(Whole, part=section_of(Thing), other=section_of(Thing, partial=True))
    assert model.model_validate({"part": {"rank": 1}}).part.rank == 1
    with pytest.raises(ValidationError):
        model.model_validate({"other": {}})


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("rank", "integer from 1 to 384"),
        ("preset", 'one of "a", "b"'),
        ("ranks", "list of integers"),
        ("limit", "number"),
        ("bias", "true or false"),
        ("names", "list of text"),
        ("steps", 'one of "paper" or list of lists of 2 integers'),
    ],
)
def test_words(key, expected):
    assert words(section_of(Thing).model_fields[key]) == expected


def test_words_for_tables_and_bounds():
    class Bounds(Section):
        above: float = Field(gt=0)
        least: float = Field(ge=0)
        share: float = Field(ge=0, lt=1)
        steps: Literal["constant"] | StepsSection
        said: str = Field(description="a colour")

    fields = Bounds.model_fields
    assert words(fields["above"]) == "number above 0"
    assert words(fields["least"]) == "number, 0 or more"
    assert words(fields["share"]) == "number, 0 or more, below 1"
    assert words(fields["said"]) == "a colour"
    assert words(fields["steps"]) == ('one of "constant" or table with epochs, factor')
