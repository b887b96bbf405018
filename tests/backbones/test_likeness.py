"""A model that differs from its blueprint in anything that it computes with is told apart from it."""

import types

import pytest
import torch
from backbones.hugging_face_models import make
from torch import nn
from vits import own_vit

from sdlora.backbones.builder import blueprint_of
from sdlora.backbones.likeness import difference
from sdlora.backbones.vit import backbone_of


class Identity(nn.Module):
    """No identity, whatever it is called."""

    def forward(self, x):
        return 2 * x


def twice(module, given, found=None):
    return 2 * (given if found is None else found)


CHANGES = {
    "hook behind": (lambda m: m.blocks[1].register_forward_hook(twice), r"its part blocks\.1 has a hook"),
    "hook before": (lambda m: m.register_forward_pre_hook(lambda m, x: x), "it has a hook"),
    "hook of a gradient": (lambda m: m.norm.register_full_backward_hook(twice), r"its part norm has a hook"),
    "another part": (lambda m: setattr(m.blocks[0], "ls1", Identity()), "ls1 is a Identity, not the "),
    "a part called as one that is idle": (
        lambda m: setattr(m.blocks[1], "drop_path1", Identity()),
        "drop_path1 is a Identity, not the Identity of its library",
    ),
    "one part more": (lambda m: m.blocks[0].add_module("extra", nn.Linear(2, 2)), r"its part blocks\.0\.extra, a Lin"),
    "one part less": (lambda m: m.blocks[0].__delattr__("drop_path1"), r"it has no part blocks\.0\.drop_path1"),
    "another epsilon": (lambda m: setattr(m.blocks[1].norm2, "eps", 1e-3), r"norm2 has eps = 0\.001, not 1e-06"),
    "another scale": (lambda m: setattr(m.blocks[1].attn, "scale", 1.0), r"attn has scale = 1\.0, not 0\.25"),
    "another pooling": (lambda m: setattr(m, "pool_include_prefix", 1.5), "it has pool_include_prefix"),
    "another forward": (lambda m: setattr(m, "forward", types.MethodType(lambda m, x: x, m)), "a forward of its own"),
    "another forward of a part": (
        lambda m: setattr(m.norm_pre, "forward", lambda x: 2 * x),
        "its part norm_pre has a forward of its own",
    ),
    "half": (lambda m: m.half(), r"is float16 \(.*\), not float32 \("),
    "a wider layer": (lambda m: setattr(m.blocks[1].mlp, "fc1", nn.Linear(32, 256)), "out_features = 256, not 128"),
    "no bias": (
        lambda m: setattr(m.blocks[1].attn.proj, "bias", None),
        r"proj\.bias is no tensor, not float32 \(32,\)",
    ),
    "another buffer": (lambda m: m.register_buffer("extra", torch.ones(1)), r"extra is float32 \(1,\), not no tensor"),
    "parametrised": (
        lambda m: nn.utils.parametrizations.weight_norm(m.blocks[0].attn.proj),
        r"its part blocks\.0\.attn\.proj\.parametrizations, a ModuleDict, is none of those",
    ),
}


@pytest.mark.parametrize(("change", "words"), CHANGES.values(), ids=CHANGES)
def test_a_change_is_named(change, words):
    model = backbone_of(own_vit()).model
    change(model)
    with pytest.raises(ValueError, match=words):
        blueprint_of(model)


def test_a_child_of_the_class_is_another_class():
    class Mine(type(own_vit())):
        pass

    model = backbone_of(own_vit()).model
    model.__class__ = Mine
    with pytest.raises(ValueError, match="it is a Mine, not timm's VisionTransformer itself"):
        blueprint_of(model)


def test_order_counts_where_parts_are_run_in_order():
    one, two = nn.Sequential(), nn.Sequential()
    for name in "ab":
        one.add_module(name, nn.Linear(2, 2))
    for name in "ba":
        two.add_module(name, nn.Linear(2, 2))
    assert difference(one, two) == "its parts are in another order"
    assert difference(one, one) is None


def test_what_only_training_knows_makes_no_difference():
    model = backbone_of(own_vit(drop_path_rate=0.3, weight_init="jax")).model
    model.set_grad_checkpointing(True)
    model.pretrained_cfg, model.note = {"mean": (0, 0, 0)}, "mine"
    blueprint_of(model)


@pytest.mark.parametrize("name", ["ViTModel", "Dinov2Model", "CLIPVisionModel"])
def test_models_of_transformers_are_looked_at_too(name):
    model = backbone_of(make(name)).model
    model.name_or_path = "somebody/model"
    blueprint_of(model)
    norm = next(part for part in model.modules() if isinstance(part, nn.LayerNorm))
    norm.eps = 0.5
    with pytest.raises(ValueError, match=r"has eps = 0\.5, not"):
        blueprint_of(model)
