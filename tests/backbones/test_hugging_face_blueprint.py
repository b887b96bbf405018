"""What a model of transformers is built from can be read off it; nothing is fetched to build it again."""

import pytest
import torch
import transformers
from audit import audited
from backbones.hugging_face_models import MODELS, SHAPE, make

from sdlora.backbones.builder import blueprint_of, built
from sdlora.backbones.vit import backbone_of

DINOV2, VIT, CLIP = transformers.Dinov2Config, transformers.ViTConfig, transformers.CLIPVisionConfig
VARIANTS = {
    **{name: lambda name=name: make(name) for name in MODELS},
    "gated": lambda: transformers.Dinov2Model(DINOV2(**SHAPE, use_swiglu_ffn=True, drop_path_rate=0.2)),
    "without mask": lambda: transformers.Dinov2Model(DINOV2(**SHAPE, use_mask_token=False, mlp_ratio=2)),
    "without biases": lambda: transformers.ViTModel(VIT(**SHAPE, qkv_bias=False, layer_norm_eps=1e-3)),
    "relu": lambda: transformers.CLIPVisionModel(CLIP(**SHAPE, hidden_act="relu")),
    "eager": lambda: transformers.ViTModel(VIT(**SHAPE, attn_implementation="eager", attention_probs_dropout_prob=0.1)),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_a_model_built_anew_computes_the_same_bits(name):
    given = backbone_of(VARIANTS[name]())
    state = {key: value + 0.05 * torch.randn(value.shape) for key, value in given.model.state_dict().items()}
    given.model.load_state_dict(state)
    with audited() as events:
        made = built(blueprint_of(given.model), state)
    assert events == []
    images = torch.randn(3, 3, 16, 16)
    assert torch.equal(given.family.features(made, images), given.family.features(given.model, images))


def test_another_activation_is_named():
    given = backbone_of(transformers.ViTModel(VIT(**SHAPE, hidden_act="tanh")))
    with pytest.raises(ValueError, match="activation"):
        blueprint_of(given.model)
