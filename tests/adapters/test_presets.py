import pytest

from sdlora.adapters.presets import PRESETS
from sdlora.errors import ConfigError


def test_the_three_readings():
    assert PRESETS.names() == ["continuous", "paper", "released"]
    assert [PRESETS.get(name).start for name in PRESETS] == [1.0, 1.0, 0.8]
    assert [PRESETS.get(name).carries for name in PRESETS] == [True, True, False]


def test_an_unknown_preset_is_refused_by_name():
    with pytest.raises(ConfigError, match='no preset is called "papers"'):
        PRESETS.get("papers")
