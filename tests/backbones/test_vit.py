import pytest
import timm
import torch
from timm.models.vision_transformer import VisionTransformer

from sdlora.backbones import vit
from sdlora.backbones.vit import Backbone, backbone_of, digest, load_backbone, untrained_vit
from sdlora.errors import BackboneError, ConfigError, DataError


def test_features_are_timms_own():
    backbone = untrained_vit()
    images = torch.rand(3, 3, 16, 16)
    tokens = backbone.model.forward_features((images - 0.5) / 0.5)
    assert torch.equal(backbone(images), tokens[:, 0])
    assert backbone.feature_dim == 32


def test_normalises_with_its_own_mean_and_deviation():
    model = VisionTransformer(img_size=16, patch_size=8, embed_dim=32, depth=1, num_heads=2)
    backbone = Backbone(model, name="x", mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 4.0))
    white = backbone.normalise(torch.ones(1, 3, 2, 2))
    assert torch.allclose(white[0, :, 0, 0], torch.tensor([0.9, 0.4, 0.175]))


def test_is_frozen_and_stays_in_evaluation_mode():
    backbone = untrained_vit().train()
    assert not any(p.requires_grad for p in backbone.parameters())
    assert not any(module.training for module in backbone.modules())


def test_wrong_size_is_told():
    with pytest.raises(DataError, match=r"20 x 20 pixels(?s:.*)16 x 16"):
        untrained_vit()(torch.rand(1, 3, 20, 20))


def test_few_tokens_take_explicit_attention():
    assert not any(block.attn.fused_attn for block in untrained_vit().model.blocks)
    large = Backbone(timm.create_model("vit_tiny_patch16_224", pretrained=False), name="x")
    assert all(block.attn.fused_attn for block in large.model.blocks)


def test_digest_tells_weights_apart():
    first, second = untrained_vit(), untrained_vit()
    assert first.sha256 == second.sha256
    assert untrained_vit(seed=1).sha256 != first.sha256
    assert digest(first.model) == first.sha256


def test_untrained_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    untrained_vit()
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("vit_bse_patch16_224.augreg_in21k", "vit_base_patch16_224"),
        ("vit_base_patch16_224", "TAG"),
        ("vit_base_patch16_224.nosuchtag", "augreg2_in21k_ft_in1k"),
        ("hf-hub:someone/model", "names a place"),
        ("local-dir:/tmp/x", "names a place"),
    ],
)
def test_names_that_are_refused(name, words):
    with pytest.raises(ConfigError, match=words):
        load_backbone(name)


def test_options_belong_to_the_untrained_one():
    assert load_backbone("untrained_vit", width=16).feature_dim == 16
    with pytest.raises(ConfigError, match="takes no options"):
        load_backbone("glyph_vit", width=16)


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda: (b"damaged", "0" * 64), r"is damaged \(sha256 [0-9a-f]{8}, expected 00000000\)"),
        (lambda: open("nowhere"), "is not where it was installed"),  # noqa: SIM115
        (lambda: [][0], "is not where it was installed"),
    ],
)
def test_a_damaged_shipped_backbone_is_refused(monkeypatch, read, words):
    monkeypatch.setattr(vit, "_read_weights", read)
    with pytest.raises(BackboneError, match=rf"{words}\nFix: pip install --force-reinstall") as caught:
        load_backbone("glyph_vit")
    assert caught.value.exit_code == 3


def test_a_model_of_the_callers_own_keeps_what_its_configuration_says():
    model = timm.create_model("vit_tiny_patch16_224.augreg_in21k_ft_in1k", pretrained=False, num_classes=3)
    model.pretrained_cfg = {**model.pretrained_cfg, "mean": (0.1, 0.2, 0.3)}
    backbone = backbone_of(model, "mine")
    assert backbone.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert backbone.name == "mine"
    assert backbone.image_size == 224


def test_a_model_without_a_configuration_is_normalised_by_halves():
    model = VisionTransformer(img_size=16, patch_size=8, embed_dim=32, depth=1, num_heads=2)
    assert backbone_of(model).std.flatten().tolist() == [0.5, 0.5, 0.5]


def test_other_statistics_can_be_taken_and_told():
    backbone = untrained_vit()
    images = torch.rand(2, 3, 16, 16)
    before = backbone(images)
    backbone.normalise_by_((0.1, 0.2, 0.3), (1, 0.9, 0.8))
    assert backbone.statistics() == ((0.1, 0.2, 0.3), (1.0, 0.9, 0.8))
    assert not torch.equal(backbone(images), before)
    backbone.normalise_by_((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert torch.equal(backbone(images), before)
