import copy

import pytest
import torch
import transformers
from backbones.hugging_face_models import CLASSIFIERS, MODELS, SHAPE, make
from teaching import make_tasks, teach

from sdlora.adapters.inject import adapters_of, remove
from sdlora.adapters.merge import merge
from sdlora.backbones.hugging_face import KINDS, preprocessing
from sdlora.backbones.vit import Backbone, backbone_of
from sdlora.errors import ConfigError
from sdlora.methods import METHODS
from sdlora.methods.sdlora import SDLoRA


def pictures(count=3, side=16):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_a_feature_is_what_the_models_own_classifier_is_given(name):
    model, given = make(name), []
    model.classifier.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    width, untouched = model.classifier.in_features, copy.deepcopy(model)
    backbone = backbone_of(model)
    untouched(pixel_values=backbone.normalise(pictures()))
    assert torch.equal(backbone(pictures()), given[0])
    assert backbone.feature_dim == width
    assert backbone.image_size == 16
    assert backbone.tokens(pictures()).shape == (3, 5, 32)


@pytest.mark.parametrize("name", MODELS)
def test_any_of_a_kind_gives_the_features_of_its_classifier(name):
    kind = KINDS[make(name).config.model_type.removesuffix("_vision_model")]
    reference = make(kind.classifier)
    getattr(reference, kind.attribute).load_state_dict(_tower(make(name), kind).state_dict(), strict=False)
    assert torch.equal(backbone_of(make(name))(pictures()), backbone_of(reference)(pictures()))


def _tower(model, kind):
    return getattr(model, kind.attribute, model)


@pytest.mark.parametrize("name", MODELS)
def test_sdlora_learns_merges_and_gives_the_modules_back(name):
    backbone = backbone_of(make(name))
    types = [(n, type(m)) for n, m in backbone.named_modules()]
    before = copy.deepcopy(backbone.state_dict())
    method = teach(SDLoRA(backbone, preset="continuous", rank=2), make_tasks(2, 2))
    adapted = adapters_of(backbone.model)
    assert {n.rpartition(".")[2] for n in adapted} == {"q_proj", "v_proj"}
    assert len(adapted) == 2 * SHAPE["num_hidden_layers"]
    logits = method(pictures())
    assert not torch.allclose(logits, method.head(backbone_of(make(name))(pictures())), atol=1e-4), "it learned"
    merged = merge(method)
    assert [(n, type(m)) for n, m in merged.backbone.named_modules()] == types
    torch.testing.assert_close(merged(pictures()), logits, atol=1e-5, rtol=0)
    remove(backbone.model)
    assert [(n, type(m)) for n, m in backbone.named_modules()] == types
    assert all(torch.equal(value, before[key]) for key, value in backbone.state_dict().items())


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_state_goes_through_a_dictionary(name):
    tasks = make_tasks(2, 3)
    method = teach(SDLoRA(backbone_of(make(name)), rank=2), tasks)
    restored = SDLoRA(backbone_of(make(name, seed=5)), rank=2)
    for task in tasks:
        restored.begin_task(task)
    restored.load_state_dict(method.state_dict(), strict=True)
    assert torch.equal(restored(pictures()), method(pictures()))


@pytest.mark.parametrize("name", ["inflora", "lora", "finetune", "probe", "simplecil"])
def test_methods_that_need_linear_layers_alone_learn_on_it(name):
    method = teach(METHODS.get(name)(backbone_of(make("ViTModel"))), make_tasks(2, 2))
    assert method(pictures()).shape == (3, 4)


@pytest.mark.parametrize("name", ["coda_prompt", "dualprompt", "ease", "hide_prompt", "l2p", "ranpac"])
def test_methods_that_need_timms_blocks_say_so(name):
    with pytest.raises(ConfigError, match=r"(?s)ViTForImageClassification takes no prompts.*timm"):
        METHODS.get(name)(backbone_of(make("ViTModel")))


def test_the_classifier_it_gets_is_the_librarys_own():
    backbone = backbone_of(make("Dinov2Model"))
    head = torch.nn.Linear(64, 2)
    expected = head(backbone(pictures()))
    backbone.family.set_head(backbone.model, head, ("rose", "lora_A"))
    assert torch.equal(backbone.model(pixel_values=backbone.normalise(pictures())).logits, expected)
    assert backbone.model.config.id2label == {0: "rose", 1: "lora_A"}
    assert backbone.model.config.label2id == {"rose": 0, "lora_A": 1}
    assert backbone.model.config.num_labels == 2


def test_normalises_as_usual_for_its_kind():
    assert backbone_of(make("ViTModel")).mean.flatten().tolist() == [0.5, 0.5, 0.5]
    expected = transformers.CLIPImageProcessor().image_mean
    assert backbone_of(make("CLIPModel")).mean.flatten().tolist() == pytest.approx(expected)


def test_an_image_processor_decides():
    model, stated = (
        make("ViTForImageClassification"),
        {"image_mean": [0.1, 0.2, 0.3], "image_std": [1, 2, 4], "size": 99},
    )
    found = preprocessing(model, stated)
    assert (found.mean, found.std, found.image_size) == ((0.1, 0.2, 0.3), (1, 2, 4), 16)
    assert preprocessing(model, {"do_normalize": False}).std == (1, 1, 1)
    assert (
        preprocessing(make("Dinov2ForImageClassification"), {"crop_size": {"height": 24, "width": 24}}).image_size == 24
    )
    with pytest.raises(ConfigError, match="does not scale"):
        preprocessing(model, {"rescale_factor": 1 / 127.5})


def test_dinov2_takes_other_sizes():
    backbone = Backbone(make("Dinov2ForImageClassification"), name="x", image_size=24)
    assert backbone(pictures(side=24)).shape == (3, 64)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: torch.nn.Linear(2, 2), "a Linear cannot be a backbone"),
        (lambda: transformers.CLIPTextModel(transformers.CLIPTextConfig(**_small_text())), "clip_text_model"),
        (lambda: transformers.BeitModel(transformers.BeitConfig(**SHAPE)), '"beit"'),
        (lambda: transformers.ViTForMaskedImageModeling(transformers.ViTConfig(**SHAPE)), None),
    ],
)
def test_what_is_no_such_model_is_refused_or_gives_its_tower(build, words):
    if words is None:
        assert backbone_of(build()).feature_dim == 32
        return
    with pytest.raises(ConfigError, match=words):
        backbone_of(build())


def _small_text():
    return {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
