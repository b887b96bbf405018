from pathlib import Path

import pytest
from lessons import Stripes

from sdlora.learner.wishes import several

DATA = Stripes((0, 1))


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (None, ()),
        ((), ()),
        ("winter", ("winter",)),
        (Path("winter"), (Path("winter"),)),
        (DATA, (DATA,)),
        (["a", "b"], ("a", "b")),
        (("a", DATA), ("a", DATA)),
    ],
)
def test_one_is_as_good_as_a_list(given, expected):
    assert several(given) == expected
