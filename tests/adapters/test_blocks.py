import pytest
from torch import nn

from sdlora.adapters.blocks import blocks_of
from sdlora.backbones.vit import untrained_vit
from sdlora.errors import ConfigError


def test_gives_the_blocks_of_timms_model():
    model = untrained_vit().model
    assert blocks_of(model) is model.blocks


@pytest.mark.parametrize("blocks", [None, nn.Linear(2, 2)])
def test_another_model_is_refused(blocks):
    model = nn.Module()
    model.blocks = blocks
    with pytest.raises(ConfigError, match="a Module takes no prompts"):
        blocks_of(model)
