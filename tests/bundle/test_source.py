import pytest
from pydantic import ValidationError

from sdlora.bundle import MethodSource


@pytest.mark.parametrize("options", [{"rank": 10**9}, {"rank": -(10**9)}, {"targets": ("q",) * 2000}, {"x": {"y": 1}}])
def test_options_of_a_method_are_bounded(options):
    with pytest.raises(ValidationError):
        MethodSource(name="sdlora", options=options)
