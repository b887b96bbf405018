import json
import re
import subprocess
import sys
import warnings

import peft
import pytest
import torch
from backbones.hugging_face_models import CLASSIFIERS
from export.taught import HEADS, HOSTILE, small, taught
from safetensors.torch import load_file
from torch import nn

from sdlora.adapters.inject import adapters_of
from sdlora.errors import CheckError, ConfigError
from sdlora.export import export_peft, peft_format
from sdlora.export.layers import load_layers
from sdlora.export.parts import plain_backbone
from sdlora.export.peft_format import base_snippet, one_pair
from sdlora.files import tensor_bytes
from sdlora.methods import METHODS

CASES = [
    ("sdlora", {"preset": "released"}),
    ("sdlora", {"preset": "paper"}),
    ("sdlora", {"preset": "continuous", "rank_schedule": [[1, 2]], "rank": 4}),
    ("sdlora", {"preset": "continuous", "distill_threshold": 0.97}),
    ("sdlora", {"targets": ("qkv:k", "attn.proj", "mlp.fc1")}),
    ("lora", {"alpha": 7.0, "rank": 3}),
    ("inflora", {}),
]


def images(count=4):
    return torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(3))


def reload(parts, folder):
    base = plain_backbone(parts)
    parts.backbone.family.set_head(base, nn.Linear(parts.backbone.feature_dim, len(parts.classes)), parts.classes)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return peft.PeftModel.from_pretrained(base, str(folder)).eval()


@pytest.mark.parametrize(("name", "options"), CASES)
def test_peft_gives_the_same_logits_merged_or_not(name, options, tmp_path):
    parts = taught(name, 2, 2, 2, **options)
    report = export_peft(parts, tmp_path / "x")
    assert report.check.passed
    model, expected = reload(parts, tmp_path / "x"), parts.method(images())
    normalised = parts.backbone.normalise(images())
    torch.testing.assert_close(model(normalised), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(model.merge_and_unload()(normalised), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["sdlora", "lora"])
@pytest.mark.parametrize("head", ["started", "solved"])
def test_the_head_that_predicts_is_exported(name, head, tmp_path):
    parts = taught(name, **HEADS[head])
    export_peft(parts, tmp_path / "x")
    model, expected = reload(parts, tmp_path / "x"), parts.method(images())
    limit = 1e-5 * float(expected.detach().abs().max())
    torch.testing.assert_close(model(parts.backbone.normalise(images())), expected, atol=limit, rtol=0)


@pytest.mark.parametrize(
    ("name", "backbone"),
    [("sdlora", "untrained_vit"), ("lora", "untrained_vit"), *(("sdlora", x) for x in CLASSIFIERS)],
)
def test_several_blocks_are_read_through_peft_merged_or_not(name, backbone, tmp_path):
    parts = taught(name, backbone=small(backbone), **HEADS["layers"])
    report = export_peft(parts, tmp_path / "x")
    assert json.loads((tmp_path / "x" / "adapter_config.json").read_text())["modules_to_save"] is None
    assert "Merge   model.vit.merge_and_unload()" in report.text()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        adapted = peft.PeftModel.from_pretrained(plain_backbone(parts), str(tmp_path / "x"))
    model, expected = load_layers(tmp_path / "x", adapted), parts.method(images())
    normalised, limit = parts.backbone.normalise(images()), 1e-5 * float(expected.detach().abs().max())
    torch.testing.assert_close(model(normalised), expected, atol=limit, rtol=0)
    model.vit = model.vit.merge_and_unload()
    torch.testing.assert_close(model(normalised), expected, atol=limit, rtol=0)


@pytest.mark.parametrize(
    ("name", "told"), [("sdlora", 'head = "ridge" cannot become'), ("probe", "no low-rank updates")]
)
def test_a_ridge_head_is_refused(name, told, tmp_path):
    with pytest.raises(ConfigError, match=rf"(?s){told}.*Expected: .*Fix: (sdlora export MODEL )?--to onnx$"):
        export_peft(taught(name, head="ridge"), tmp_path / "x")
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_models_of_transformers_with_q_and_v_apart(name, tmp_path):
    parts = taught("sdlora", preset="continuous", backbone=small(name))
    export_peft(parts, tmp_path / "x")
    model = reload(parts, tmp_path / "x")
    logits = model(pixel_values=parts.backbone.normalise(images())).logits
    torch.testing.assert_close(logits, parts.method(images()), atol=1e-5, rtol=0)
    wanted = json.loads((tmp_path / "x" / "adapter_config.json").read_text())["target_modules"]
    assert {target.rpartition(".")[2] for target in wanted} == {"q_proj", "v_proj"}


def test_all_tasks_stand_side_by_side_and_the_keys_stay_zero(tmp_path):
    parts = taught("sdlora", 2, 2, 2, rank=3, preset="continuous")
    export_peft(parts, tmp_path / "x")
    tensors = load_file(tmp_path / "x" / "adapter_model.safetensors")
    assert sorted(tensors) == sorted(
        [f"base_model.model.blocks.{i}.attn.qkv.lora_{f}.weight" for i in (0, 1) for f in "AB"]
        + ["base_model.model.head.weight", "base_model.model.head.bias"]
    )
    B = tensors["base_model.model.blocks.0.attn.qkv.lora_B.weight"]
    assert B.shape == (96, 3 * 3 * 2)  # three tasks of rank 3, for q and for v
    assert not B[32:64].any()
    assert B[:32].any()
    assert B[64:].any()
    said = json.loads((tmp_path / "x" / "adapter_config.json").read_text())
    assert (said["r"], said["lora_alpha"]) == (18, 18)
    assert said["modules_to_save"] == ["head"]
    assert said["base_model_name_or_path"] is None


def test_one_pair_is_the_whole_update():
    parts = taught("sdlora", 2, 2, preset="continuous")
    for adapter in adapters_of(parts.backbone.model).values():
        A, B = one_pair(adapter)
        torch.testing.assert_close(B @ A, adapter.merged().weight - adapter.base.weight, atol=1e-6, rtol=0)


def test_layers_may_keep_different_ranks_or_none(tmp_path):
    parts = taught("sdlora", 2, 2, 2, preset="continuous", rank=2)
    adapters = list(adapters_of(parts.backbone.model).values())
    for part in adapters[0].directions:  # as distillation does where old directions can stand in for the new one
        part._drop_pair()
    for part in adapters[1].directions:
        part.scales.zero_()
    export_peft(parts, tmp_path / "x")
    said = json.loads((tmp_path / "x" / "adapter_config.json").read_text())
    assert sorted([said["r"], *said["rank_pattern"].values()]) == [8, 12]
    assert said["alpha_pattern"] == said["rank_pattern"]
    assert len(said["rank_pattern"]) == 1
    model = reload(parts, tmp_path / "x")
    torch.testing.assert_close(model(parts.backbone.normalise(images())), parts.method(images()), atol=1e-5, rtol=0)


def test_the_same_model_gives_the_same_bytes(tmp_path):
    parts = taught()
    export_peft(parts, tmp_path / "x")
    export_peft(parts, tmp_path / "y")
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "x" / name).read_bytes() == (tmp_path / "y" / name).read_bytes()


def test_hostile_names_do_no_harm(tmp_path):
    parts = taught("sdlora", 16, 16, classes=HOSTILE[:32])
    assert export_peft(parts, tmp_path / "x").check.passed
    assert json.loads((tmp_path / "x" / "labels.json").read_text(encoding="utf-8")) == list(HOSTILE[:32])
    assert len(load_file(tmp_path / "x" / "adapter_model.safetensors")) == 6


@pytest.mark.parametrize("name", [name for name in METHODS if name not in ("sdlora", "lora", "inflora")])
def test_methods_without_low_rank_updates_are_refused(name, tmp_path):
    other = "--to timm or --to onnx" if METHODS.get(name).mergeable else "--to onnx"
    with pytest.raises(ConfigError, match=rf"(?s)no low-rank updates.*with inflora, lora, sdlora.*Fix: {other}$"):
        export_peft(taught(name, 2), tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_wrong_adapter_fails_its_check(tmp_path, monkeypatch):
    made = peft_format.adapter_tensors

    def spoiled(parts):
        return {key: value * (1.01 if "lora_A" in key else 1) for key, value in made(parts).items()}

    monkeypatch.setattr(peft_format, "adapter_tensors", spoiled)
    parts = taught("sdlora", preset="continuous")
    for adapter in adapters_of(parts.backbone.model).values():
        for part in adapter.directions:
            part.lora_B.data.normal_(generator=torch.Generator().manual_seed(0))
    with pytest.raises(CheckError, match=r"x\.failed keeps its files"):
        export_peft(parts, tmp_path / "x")


def test_nothing_is_asked_of_the_network(tmp_path, monkeypatch):
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))
    parts = taught()
    parts.backbone.name = "vit_tiny_patch16_224.augreg_in21k"
    export_peft(parts, tmp_path / "x")
    said = json.loads((tmp_path / "x" / "adapter_config.json").read_text())
    assert said["base_model_name_or_path"] == "timm/vit_tiny_patch16_224.augreg_in21k"


@pytest.mark.parametrize(
    ("name", "snippet"),
    [
        ("vit_tiny.tag", 'import timm\nbase = timm.create_model("vit_tiny.tag", pretrained=True, num_classes=5)'),
        (
            "hf:owner/name@v2",
            "from transformers import VisionTransformer\n"
            'base = VisionTransformer.from_pretrained("owner/name", revision="v2", num_labels=5)',
        ),
        ("custom", "base = ...  # the VisionTransformer that was given to sdlora, with 5 classes"),
    ],
)
def test_the_base_is_named_as_it_can_be_had(name, snippet):
    parts = taught()
    parts.backbone.name = name
    assert base_snippet(parts) == snippet
    parts = taught(**HEADS["layers"])
    parts.backbone.name = name
    assert base_snippet(parts) == snippet.replace("=5)", "=0)").replace("with 5 classes", "without a classifier")


def test_what_the_card_says_runs(tmp_path, monkeypatch):
    parts = taught()
    export_peft(parts, tmp_path / "shop-peft")
    monkeypatch.chdir(tmp_path)
    (snippet,) = re.findall("```python\n(.*?)```", (tmp_path / "shop-peft" / "README.md").read_text(), re.DOTALL)
    names = {}
    exec(snippet, names)
    torch.testing.assert_close(
        names["model"](parts.backbone.normalise(images())), parts.method(images()), atol=1e-5, rtol=0
    )


RUN = """
import sys
sys.modules["sdlora"] = None
import torch
from safetensors.torch import load_file
from timm.models.vision_transformer import VisionTransformer
base = VisionTransformer(img_size=16, patch_size=8, embed_dim=32, depth=2, num_heads=2, num_classes=0)
base.load_state_dict(load_file("base.safetensors"))
{snippet}
stored = load_file("stored.safetensors")
print(float((model(stored["image"]).detach() - stored["logits"]).abs().max()))
"""


def test_what_the_card_says_of_several_blocks_runs_without_this_package(tmp_path):
    parts = taught(**HEADS["layers"])
    parts.backbone.name = "mine"
    export_peft(parts, tmp_path / "shop-peft")
    expected = parts.method(images())
    (tmp_path / "base.safetensors").write_bytes(tensor_bytes(plain_backbone(parts).state_dict()))
    stored = {"image": parts.backbone.normalise(images()), "logits": expected}
    (tmp_path / "stored.safetensors").write_bytes(tensor_bytes(stored))
    (snippet,) = re.findall(
        "```python\nbase = .*?\n(.*?)```", (tmp_path / "shop-peft" / "README.md").read_text(), re.DOTALL
    )
    done = subprocess.run(
        [sys.executable, "-c", RUN.format(snippet=snippet)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) <= 1e-5 * float(expected.detach().abs().max())
