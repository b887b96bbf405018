import pytest
from bundles import description

from sdlora.errors import ConfigError
from sdlora.learner.names import renamed


def test_names_may_be_exchanged():
    known = description(("rose", "tulip"), ("fern",))
    assert renamed(known, {"rose": "tulip", "tulip": "rose"}).classes == ("tulip", "rose", "fern")
    assert renamed(known, {"fern": "Fern"}).classes == ("rose", "tulip", "Fern")


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ({"rsoe": "x"}, '(?s)no class is called "rsoe".*did you mean "rose"'),
        ({"rose": "tulip"}, 'two classes would be called "tulip"'),
        ({"rose": "TULIP"}, 'two classes would be called "tulip" and "TULIP"'),
        ({"rose": "a/b"}, "holds a path separator"),
        ({"rose": ""}, "is no name"),
    ],
)
def test_what_a_name_cannot_be(names, reason):
    with pytest.raises(ConfigError, match=reason):
        renamed(description(("rose", "tulip")), names)
