import pytest
import torch

from sdlora.backbones.blank import blank_vit
from sdlora.errors import ConfigError


def test_shape_without_weights():
    backbone = blank_vit("vit_tiny_patch16_224.augreg_in21k")
    assert (backbone.name, backbone.sha256) == ("vit_tiny_patch16_224", "random")
    assert (backbone.feature_dim, backbone.image_size, len(backbone.blocks)) == (192, 224, 12)
    assert all(torch.isfinite(parameter).all() for parameter in backbone.parameters())


@pytest.mark.parametrize("name", ["vit_b_16", "resnet18"])
def test_what_is_no_vision_transformer_is_refused(name):
    with pytest.raises(ConfigError):
        blank_vit(name)
