import pytest
import torch
from backbones.hugging_face_models import CLASSIFIERS, make
from timm.models.vision_transformer import VisionTransformer

from sdlora.backbones import vit
from sdlora.backbones.layer_classifier import LayerClassifier
from sdlora.backbones.vit import backbone_of

SHAPE = {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 3, "num_heads": 2}
MODELS = {
    "class token": lambda: VisionTransformer(**SHAPE),
    "no class token": lambda: VisionTransformer(**SHAPE, class_token=False, global_pool="avg"),
    "registers": lambda: VisionTransformer(**SHAPE, reg_tokens=2, no_embed_class=True),
    **{name: lambda name=name: make(name) for name in CLASSIFIERS},
}


@pytest.mark.parametrize("make_model", MODELS.values(), ids=MODELS)
@pytest.mark.parametrize("count", [1, "all"])
def test_gives_the_layer_on_the_features_of_the_backbone(make_model, count):
    torch.manual_seed(0)
    backbone = backbone_of(make_model())
    layers = backbone.last_blocks(count)
    weight, bias = torch.randn(5, backbone.layer_dim(len(layers))), torch.randn(5)
    images = torch.rand(4, 3, 16, 16)
    model = LayerClassifier(backbone.model, torch.tensor(layers), weight, bias)
    expected = backbone.layer_features(images, layers) @ weight.T + bias
    torch.testing.assert_close(model(backbone.normalise(images)), expected, atol=1e-4, rtol=0)
    assert model.label_names == ()
    assert sorted(model.head.state_dict()) == ["bias", "weight"]


def test_a_sketch_folds_into_the_layer():
    torch.manual_seed(0)
    backbone = backbone_of(VisionTransformer(**SHAPE))
    layers = backbone.last_blocks("all")
    assert backbone.layer_dim(len(layers), 100) == 100 < 3 * 3 * 32
    weight, bias = torch.randn(5, 100), torch.randn(5)
    images = torch.rand(4, 3, 16, 16)
    model = LayerClassifier(
        backbone.model, torch.tensor(layers), backbone.weight_before_sketch(weight, len(layers)), bias
    )
    features = backbone.layer_features(images, layers, 100)
    assert features.shape == (4, 100)
    torch.testing.assert_close(model(backbone.normalise(images)), features @ weight.T + bias, atol=1e-3, rtol=1e-4)


def test_a_sketch_keeps_inner_products_on_average():
    torch.manual_seed(0)
    x, y = torch.randn(2, 20_000)
    both = torch.stack([x, x + 0.1 * y])
    small = vit.sketched(both, 2_000)
    assert small.shape == (2, 2_000)
    torch.testing.assert_close(small[0] @ small[1], both[0] @ both[1], rtol=0.1, atol=0)
    assert torch.equal(vit.sketched(both, 30_000), both)


def test_making_one_draws_no_numbers():
    model = VisionTransformer(**SHAPE)
    state = torch.get_rng_state()
    LayerClassifier(model, torch.tensor([0]), torch.zeros(2, 96), torch.zeros(2))
    assert torch.equal(torch.get_rng_state(), state)
