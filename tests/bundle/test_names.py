import pytest

from sdlora.bundle.names import bad_class_name, case_twins


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
