import pytest
import torch
from backbones.hugging_face_models import CLASSIFIERS, make
from timm.models.vision_transformer import VisionTransformer

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
    weight, bias = torch.randn(5, len(layers) * backbone.layer_dim), torch.randn(5)
    images = torch.rand(4, 3, 16, 16)
    model = LayerClassifier(backbone.model, torch.tensor(layers), weight, bias)
    expected = backbone.layer_features(images, layers) @ weight.T + bias
    torch.testing.assert_close(model(backbone.normalise(images)), expected, atol=1e-4, rtol=0)
    assert model.label_names == ()
    assert sorted(model.head.state_dict()) == ["bias", "weight"]


def test_making_one_draws_no_numbers():
    vit = VisionTransformer(**SHAPE)
    state = torch.get_rng_state()
    LayerClassifier(vit, torch.tensor([0]), torch.zeros(2, 64), torch.zeros(2))
    assert torch.equal(torch.get_rng_state(), state)
