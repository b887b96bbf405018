"""Options that do not go together are refused."""

import pytest

from sdlora.engine import OptimOptions
from sdlora.errors import ConfigError


def test_momentum_belongs_to_sgd():
    assert OptimOptions(lr=1.0, momentum=0.9).momentum == 0.9
    with pytest.raises(ConfigError, match=r"optim.momentum = 0.9 with optim.name = adam"):
        OptimOptions(name="adam", lr=1.0, momentum=0.9)
