import pytest

from sdlora.errors import ConfigError
from sdlora.registry import Registry, nearest


def test_an_unknown_name_lists_the_known_and_proposes_the_nearest():
    things: Registry[int] = Registry("thing")
    things.register("alpha")(1)
    things.register("beta")(2)
    assert things.get("beta") == 2
    assert list(things) == ["alpha", "beta"]
    assert "alpha" in things
    with pytest.raises(ConfigError, match=r'no thing is called "alpa"(?s:.*)alpha, beta(?s:.*)did you mean "alpha"'):
        things.get("alpa")


def test_a_name_is_taken_once():
    things: Registry[int] = Registry("thing")
    things.register("alpha")(1)
    with pytest.raises(ValueError, match="registered twice"):
        things.register("alpha")(2)


def test_nothing_near_is_nothing():
    assert nearest("zzz", ["alpha", "beta"]) is None
    assert nearest("fruits", ["digits"]) == "digits"
    assert nearest("fruits", ["digits"], likeness=0.7) is None
