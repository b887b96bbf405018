import pytest

from sdlora.errors import ConfigError
from sdlora.server.limits import Limits


@pytest.mark.parametrize("options", [{"max_batch": 0}, {"queue": 0}, {"timeout": 0.0}, {"max_wait_ms": -1.0}])
def test_limits_that_allow_nothing_are_refused(options):
    (name, value) = next(iter(options.items()))
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} {value}"):
        Limits(**options)


def test_not_a_number_is_refused():
    with pytest.raises(ConfigError, match="--timeout nan"):
        Limits(timeout=float("nan"))
