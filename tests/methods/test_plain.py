import pytest
import timm
import torch
from backbones.hugging_face_models import make
from teaching import make_tasks, teach

from sdlora.backbones.layer_classifier import LayerClassifier
from sdlora.backbones.vit import backbone_of, untrained_vit
from sdlora.errors import ConfigError
from sdlora.heads import LinearHead
from sdlora.methods import METHODS
from sdlora.methods.plain import is_plain, joined, name_of, plain_model

MERGEABLE = [name for name in METHODS if METHODS.get(name).mergeable]
CLASSES = ("rose", "weight", "head.", "lora_A")


def images(count=4):
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", MERGEABLE)
def test_gives_the_logits_of_the_method_and_has_nothing_of_it(name):
    method = teach(METHODS.get(name)(untrained_vit()), make_tasks(2, 2)).eval()
    before = {key: value.clone() for key, value in method.state_dict().items()}
    model = plain_model(method, CLASSES)
    torch.testing.assert_close(model(method.backbone.normalise(images())), method(images()), atol=1e-5, rtol=0)
    untouched = timm.models.VisionTransformer(
        img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=4
    )
    assert [(n, type(m)) for n, m in model.named_modules()] == [(n, type(m)) for n, m in untouched.named_modules()]
    untouched.load_state_dict(model.state_dict(), strict=True)
    assert model.pretrained_cfg["label_names"] == list(CLASSES)
    assert not any(parameter.requires_grad for parameter in model.parameters())
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items()), "it shares nothing"


def test_of_a_model_of_transformers_it_is_one_too():
    method = teach(METHODS.get("sdlora")(backbone_of(make("CLIPModel"))), make_tasks(2, 2)).eval()
    model = plain_model(method, CLASSES)
    assert type(model).__name__ == "CLIPForImageClassification"
    logits = model(pixel_values=method.backbone.normalise(images())).logits
    torch.testing.assert_close(logits, method(images()), atol=1e-5, rtol=0)
    assert model.config.id2label[3] == "lora_A"


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("sdlora", {"head_init": "discriminant"}),
        ("probe", {"head_init": "discriminant"}),
        ("sdlora", {"head": "discriminant"}),
        ("probe", {"head": "discriminant"}),
        ("sdlora", {"head": "discriminant", "adapt_tasks": 0}),
    ],
)
def test_its_classifier_is_the_head_that_predicts(name, options):
    method = teach(METHODS.get(name)(untrained_vit(), **options), make_tasks(2, 2)).eval()
    model, expected = plain_model(method, CLASSES), method(images())
    assert type(model) is timm.models.VisionTransformer
    assert model.pretrained_cfg["label_names"] == list(CLASSES)
    scale = float(expected.detach().abs().max())
    torch.testing.assert_close(model(method.backbone.normalise(images())), expected, atol=1e-5 * scale, rtol=0)
    with torch.no_grad():
        model.head.weight.zero_()
    assert torch.equal(method(images()), expected), "it shares nothing"


@pytest.mark.parametrize("make_backbone", [untrained_vit, lambda: backbone_of(make("Dinov2Model"))])
@pytest.mark.parametrize("layers", [1, "all"])
def test_of_several_blocks_it_is_a_wrapper_around_a_plain_model(make_backbone, layers):
    options = {"head": "discriminant", "layers": layers}
    method = teach(METHODS.get("sdlora")(make_backbone(), **options), make_tasks(2, 2)).eval()
    model, expected = plain_model(method, CLASSES), method(images())
    assert type(model) is LayerClassifier
    assert model.label_names == CLASSES
    assert not [name for name, part in model.vit.named_modules() if "sdlora" in type(part).__module__]
    scale = float(expected.detach().abs().max())
    torch.testing.assert_close(model(method.backbone.normalise(images())), expected, atol=1e-5 * scale, rtol=0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    assert torch.equal(method(images()), expected), "it shares nothing"


@pytest.mark.parametrize("options", [{}, {"layers": "all"}])
def test_a_head_that_is_not_linear_is_refused(options):
    method = teach(METHODS.get("probe")(untrained_vit(), head="ridge", **options), make_tasks(2, 2)).eval()
    told = r'(?s)probe with head = "ridge" cannot become.*head = "linear" or "discriminant".*MODEL --to onnx'
    with pytest.raises(ConfigError, match=told):
        plain_model(method, CLASSES)
    assert not is_plain(method)


def test_a_solved_head_is_nothing_before_its_first_task_ends():
    method = METHODS.get("sdlora")(untrained_vit(), head="discriminant")
    method.begin_task(make_tasks(2)[0])
    with pytest.raises(ConfigError, match="no class was taught yet"):
        plain_model(method, CLASSES[:2])


@pytest.mark.parametrize("name", [name for name in METHODS if name not in MERGEABLE])
def test_the_others_say_what_they_train_and_who_can(name):
    method = teach(METHODS.get(name)(untrained_vit()), make_tasks(2))
    able = ", ".join(name for name in MERGEABLE if not METHODS.get(name).joint)
    assert {"finetune", "inflora", "lora", "probe", "sdlora"} <= set(able.split(", "))
    with pytest.raises(ConfigError, match=rf"(?s)cannot become a plain model.*a model taught with {able}\n"):
        plain_model(method, CLASSES)


def test_before_the_first_task_there_is_nothing_to_give():
    with pytest.raises(ConfigError, match="no class was taught yet"):
        plain_model(METHODS.get("sdlora")(untrained_vit()), ())


def test_joined_blocks_are_one_layer():
    head = LinearHead(5)
    for size in (1, 3, 2):
        head.grow(size)
    features = torch.randn(7, 5)
    torch.testing.assert_close(joined(head)(features), head(features), atol=1e-6, rtol=0)


def test_name_of_is_the_registered_name():
    assert all(name_of(METHODS.get(name)(untrained_vit())) == name for name in METHODS)
