import json
import re
import subprocess
import sys

import pytest
import teaching
import timm
import torch
from export.taught import HEADS, HOSTILE, small, taught
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from sdlora.backbones.vit import backbone_of
from sdlora.errors import CheckError, ConfigError
from sdlora.export import Parts, export_timm, timm_format
from sdlora.export.layers import load_layers
from sdlora.methods import METHODS

pytestmark = pytest.mark.slow


MERGEABLE = [name for name in METHODS if METHODS.get(name).mergeable]


def reload(report):
    return timm.create_model(f"local-dir:{report.path}", pretrained=True).eval()


def images(side=16, count=4):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("name", MERGEABLE)
def test_timm_loads_the_same_model(name, tmp_path):
    parts = taught(name)
    report = export_timm(parts, tmp_path / "shop-timm")
    model = reload(report)
    assert type(model) is VisionTransformer
    torch.testing.assert_close(model(parts.backbone.normalise(images())), parts.method(images()), atol=1e-5, rtol=0)
    assert report.check.passed
    assert report.check.difference <= 1e-5
    assert report.next == 'timm.create_model("local-dir:shop-timm", pretrained=True)'


def test_names_and_preprocessing_are_in_timms_configuration(tmp_path):
    model = timm.create_model("vit_tiny_patch16_224.augreg_in21k", pretrained=False, img_size=32, depth=1)
    model.pretrained_cfg = {**model.pretrained_cfg, "mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6)}
    parts = _taught_at(32, backbone_of(model), ("rose", "weight"))
    loaded = reload(export_timm(parts, tmp_path / "x"))
    seen = timm.data.resolve_model_data_config(loaded)
    assert tuple(seen["mean"]) == (0.1, 0.2, 0.3)
    assert tuple(seen["std"]) == (0.4, 0.5, 0.6)
    assert tuple(seen["input_size"]) == (3, 32, 32)
    assert seen["crop_pct"] == parts.augment.test_crop
    assert seen["interpolation"] == "bicubic"
    assert loaded.pretrained_cfg["label_names"] == ["rose", "weight"]
    assert json.loads((tmp_path / "x" / "config.json").read_text())["architecture"] == "vit_tiny_patch16_224"


def _taught_at(side, backbone, classes, **options):
    size, teaching.SIZE = teaching.SIZE, side
    try:
        return taught("sdlora", len(classes), backbone=backbone, classes=classes, **options)
    finally:
        teaching.SIZE = size


def test_hostile_names_do_no_harm(tmp_path):
    parts = taught("sdlora", 16, 16, classes=HOSTILE[:32])
    loaded = reload(export_timm(parts, tmp_path / "x"))
    assert loaded.pretrained_cfg["label_names"] == list(HOSTILE[:32])
    assert json.loads((tmp_path / "x" / "labels.json").read_text(encoding="utf-8")) == list(HOSTILE[:32])


SHAPES = {
    "mean token": {"global_pool": "avg"},
    "no class token": {"class_token": False, "global_pool": "avg"},
    "registers": {"reg_tokens": 2, "no_embed_class": True},
    "norm in front, layer scale, no bias": {"pre_norm": True, "init_values": 0.1, "qkv_bias": False},
    "normed queries, narrow": {"qk_norm": True, "mlp_ratio": 2.0},
}


@pytest.mark.parametrize("options", SHAPES.values(), ids=SHAPES)
def test_a_plain_model_built_without_a_name_gets_one(options, tmp_path):
    model = VisionTransformer(img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=2, **options)
    parts = taught(backbone=backbone_of(model))
    loaded = reload(export_timm(parts, tmp_path / "x"))
    torch.testing.assert_close(loaded(parts.backbone.normalise(images())), parts.method(images()), atol=1e-5, rtol=0)
    assert "license" not in json.loads((tmp_path / "x" / "config.json").read_text())["pretrained_cfg"]


def test_a_model_with_parts_that_no_name_stands_for_is_refused(tmp_path):
    shape = {"img_size": 16, "patch_size": 8, "embed_dim": 32, "depth": 1, "num_heads": 2}
    model = VisionTransformer(**shape, mlp_layer=timm.layers.SwiGLU)
    with pytest.raises(ConfigError, match=r"timm cannot build backbone custom by name(?s:.*)--to onnx"):
        export_timm(taught(backbone=backbone_of(model)), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_the_same_shape_with_another_function_fails_its_check(tmp_path):
    model = VisionTransformer(
        img_size=16, patch_size=8, embed_dim=32, depth=1, num_heads=2, act_layer=nn.ReLU
    )  # nothing in its weights tells
    with pytest.raises(CheckError, match="the export differs from sdlora"):
        export_timm(taught(backbone=backbone_of(model)), tmp_path / "x")
    assert (tmp_path / "x.failed" / "model.safetensors").exists()
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["sdlora", "probe"])
@pytest.mark.parametrize("head", HEADS)
def test_the_head_that_predicts_is_exported(name, head, tmp_path):
    parts = taught(name, **HEADS[head])
    report = export_timm(parts, tmp_path / "shop-timm")
    model, expected = reload(report), parts.method(images())
    if head == "layers":
        assert model.num_classes == 0
        model = load_layers(report.path, model)
    limit = 1e-5 * float(expected.detach().abs().max())
    torch.testing.assert_close(model(parts.backbone.normalise(images())), expected, atol=limit, rtol=0)
    assert {"head.safetensors", "layer_classifier.py"} <= report.files.keys() or head != "layers"
    assert ("README.md" in report.next) == (head == "layers")


def test_several_blocks_of_a_model_that_timm_names(tmp_path):
    model = timm.create_model("vit_tiny_patch16_224.augreg_in21k", pretrained=False, img_size=32, depth=1)
    parts = _taught_at(32, backbone_of(model), ("rose", "weight"), **HEADS["layers"])
    loaded = reload(export_timm(parts, tmp_path / "x"))
    assert loaded.num_classes == loaded.pretrained_cfg["num_classes"] == 0
    assert loaded.pretrained_cfg["label_names"] == ["rose", "weight"]


def test_a_spoiled_layer_fails_its_check(tmp_path, monkeypatch):
    made = timm_format.layer_files

    def spoiled(layers, head):
        head.bias[0] += 1
        return made(layers, head)

    monkeypatch.setattr(timm_format, "layer_files", spoiled)
    with pytest.raises(CheckError, match="the export differs from sdlora"):
        export_timm(taught("probe", **HEADS["layers"]), tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("options", [{}, {"layers": "all"}])
def test_a_ridge_head_is_refused(options, tmp_path):
    with pytest.raises(ConfigError, match=r'(?s)head = "ridge" cannot become.*Fix: sdlora export MODEL --to onnx'):
        export_timm(taught("sdlora", head="ridge", **options), tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", ["l2p", "ease", "simplecil", "ranpac"])
def test_methods_that_do_not_merge_are_refused(name, tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)cannot become a plain model.*Fix: sdlora export MODEL --to onnx"):
        export_timm(taught(name), tmp_path / "x")


def test_a_model_of_transformers_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)ViTForImageClassification cannot become.*save_pretrained"):
        export_timm(taught(backbone=small("ViTModel")), tmp_path / "x")
    with pytest.raises(ConfigError, match=r"(?s)ViTForImageClassification cannot become.*Fix: --to peft or --to onnx$"):
        export_timm(taught(backbone=small("ViTModel"), **HEADS["layers"]), tmp_path / "x")


def test_before_the_first_lesson_there_is_nothing_to_export():
    with pytest.raises(ConfigError, match="no class was taught yet"):
        Parts(METHODS.get("sdlora")(small("untrained_vit")), ())


RUN = """
import sys
sys.modules["sdlora"] = None
{snippet}
import json, torch
from safetensors.torch import load_file
stored = load_file("stored.safetensors")
print(float((model(stored["image"]).detach() - stored["logits"]).abs().max()))
"""


@pytest.mark.parametrize(
    ("backbone", "head"),
    [("untrained_vit", "started"), ("untrained_vit", "layers"), ("glyph_vit", "solved"), ("glyph_vit", "layers")],
)
def test_what_the_card_says_runs_without_this_package(backbone, head, tmp_path):
    loaded = small(backbone)
    parts = _taught_at(loaded.image_size, loaded, ("rose", "weight", "head."), **HEADS[head])
    export_timm(parts, tmp_path / "shop-timm")
    image = images(loaded.image_size)
    stored = {"image": parts.backbone.normalise(image), "logits": parts.method(image)}
    (tmp_path / "stored.safetensors").write_bytes(timm_format.tensor_bytes(stored))
    (snippet,) = re.findall("```python\n(.*?)```", (tmp_path / "shop-timm" / "README.md").read_text(), re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(snippet=snippet)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 1e-5 * max(1, float(stored["logits"].detach().abs().max()))


def test_the_shipped_backbone_is_not_said_to_have_a_name(tmp_path):
    loaded = small("glyph_vit")
    report = export_timm(_taught_at(32, loaded, ("rose", "tulip")), tmp_path / "x")
    assert "timm has no name" in report.next
    assert "config.json" not in report.files
    with pytest.raises(FileNotFoundError):
        timm.create_model(f"local-dir:{report.path}", pretrained=True)
