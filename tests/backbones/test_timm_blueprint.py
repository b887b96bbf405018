"""What timm's VisionTransformer is built from can be read off it, whatever it was built with."""

from functools import partial

import pytest
import timm
import torch
from timm import layers
from timm.models.vision_transformer import ResPostBlock
from torch import nn
from vits import own_vit

from sdlora.backbones.builder import blueprint_of, built
from sdlora.backbones.timm_blueprint import timm_blueprint
from sdlora.backbones.vit import backbone_of, load_backbone


class OwnMlp(layers.Mlp):
    """A perceptron of the caller's own."""


VARIANTS = {
    "plain": {},
    "other sizes": {"img_size": 24, "patch_size": 6, "embed_dim": 48, "depth": 3, "num_heads": 4, "mlp_ratio": 2.7},
    "layer scale": {"init_values": 1e-5},
    "normed queries": {"qk_norm": True},
    "registers": {"reg_tokens": 2, "no_embed_class": True},
    "no class token": {"class_token": False, "global_pool": "avg"},
    "norm before the mean": {"global_pool": "avg", "fc_norm": False},
    "attention pooling": {"global_pool": "map"},
    "pooling without parameters of its own": {"global_pool": "prr"},
    "largest and mean": {"global_pool": "avgmax", "pool_include_prefix": True},
    "norm first": {"pre_norm": True},
    "no last norm": {"final_norm": False},
    "root mean squares": {"norm_layer": layers.RmsNorm},
    "an epsilon of its own": {"norm_layer": partial(nn.LayerNorm, eps=1e-3)},
    "norm in the stem": {"embed_norm_layer": partial(layers.LayerNorm, eps=1e-4)},
    "norms inside": {"scale_attn_norm": True, "scale_mlp_norm": True},
    "quick": {"act_layer": layers.QuickGELU},
    "tanh": {"act_layer": "gelu_tanh"},
    "gated": {"mlp_layer": layers.SwiGLU, "act_layer": nn.SiLU},
    "gated, packed": {"mlp_layer": layers.SwiGLUPacked, "act_layer": nn.SiLU},
    "gated, gate last": {"mlp_layer": layers.GluMlp, "act_layer": nn.Sigmoid},
    "norm after": {"block_fn": ResPostBlock, "init_values": 1e-5},
    "no positions": {"pos_embed": "none"},
    "any size": {"dynamic_img_size": True, "dynamic_img_pad": True},
    "no biases": {"qkv_bias": False, "proj_bias": False},
    "dropout": {"drop_rate": 0.1, "proj_drop_rate": 0.1, "drop_path_rate": 0.1, "patch_drop_rate": 0.5},
}


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_a_model_built_anew_computes_the_same_bits(options):
    given = backbone_of(own_vit(**options))
    state = {name: value + 0.05 * torch.randn(value.shape) for name, value in given.model.state_dict().items()}
    given.model.load_state_dict(state)
    made = built(blueprint_of(given.model), state)
    images = torch.randn(3, 3, given.image_size, given.image_size)
    assert torch.equal(given.family.features(made, images), given.family.features(given.model, images))


def test_two_variants_have_two_blueprints():
    found = [timm_blueprint(backbone_of(own_vit(**options)).model) for options in VARIANTS.values()]
    same = [(a, b) for a in range(len(found)) for b in range(a) if found[a] == found[b]]
    names = list(VARIANTS)
    assert [(names[a], names[b]) for a, b in same] == [("dropout", "plain")]


def test_the_shipped_backbone_has_one():
    given = load_backbone("glyph_vit")
    assert blueprint_of(given.model).stem == "ConvStem"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"img_size": (16, 32)}, "its images are no squares: 16 x 32"),
        ({"patch_size": (8, 4)}, "its patches are no squares: 8 x 4"),
        ({"act_layer": nn.ELU}, "it has a ELU where one of GELU, GELUTanh"),
        ({"mlp_layer": OwnMlp}, "it has a OwnMlp where one of Mlp"),
        ({"block_fn": timm.models.vision_transformer.ParallelThingsBlock}, "it lacks a part"),
        ({"attn_layer": layers.DiffAttention}, "is none of those"),
        ({"norm_layer": partial(nn.LayerNorm, elementwise_affine=False)}, "has elementwise_affine = False, not True"),
        ({"act_layer": partial(nn.GELU, approximate="tanh")}, "act has approximate = 'tanh', not 'none'"),
        ({"in_chans": 1}, "it has in_chans = 1, not 3"),
    ],
)
def test_what_no_blueprint_says_is_named(options, words):
    with pytest.raises(ValueError, match=words):
        blueprint_of(backbone_of(own_vit(**options)).model)
