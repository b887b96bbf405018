import tomllib
from datetime import date

from hypothesis import given
from hypothesis import strategies as st

from sdlora.config.write import to_toml, toml_value

TEXT = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.booleans() | st.integers(-(2**63), 2**63) | st.floats(allow_nan=False) | TEXT | st.dates(),
    lambda part: st.lists(part, max_size=3) | st.dictionaries(TEXT, part, max_size=3),
    max_leaves=8,
)


@given(VALUES)
def test_a_value_survives_writing_and_reading(value):
    assert tomllib.loads(f"value = {toml_value(value)}") == {"value": value}


@given(st.dictionaries(TEXT, st.dictionaries(TEXT, VALUES, max_size=3), max_size=3))
def test_a_document_survives_writing_and_reading(document):
    assert tomllib.loads(to_toml(document)) == document


def test_tuples_are_lists_and_none_is_left_out():
    text = to_toml({"run": {"seeds": (0, 1), "device": None, "day": date(2026, 1, 2), "deep": {"a": None, "b": 1.0}}})
    assert text == "[run]\nseeds = [0, 1]\nday = 2026-01-02\ndeep = { b = 1.0 }\n"
