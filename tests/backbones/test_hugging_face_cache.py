import json
import sys

import pytest
import torch
from backbones.hugging_face_models import make
from safetensors.torch import load_file, save_file
from transformers.utils import logging

from sdlora.backbones import hugging_face_cache
from sdlora.backbones.vit import backbone_of, load_backbone
from sdlora.errors import ConfigError

COMMIT = "a" * 40
NAMES = ["ViTModel", "ViTForImageClassification", "Dinov2Model", "CLIPModel", "CLIPVisionModel"]


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Return a function that puts a model into an empty cache; whoever asks the network fails the test."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("socket.socket.connect", lambda *_: pytest.fail("the network was asked"))

    def put(name, processor=None, repo="models--owner--name"):
        folder = tmp_path / repo / "snapshots" / COMMIT
        make(name).save_pretrained(folder)
        (tmp_path / repo / "refs").mkdir(exist_ok=True)
        (tmp_path / repo / "refs" / "main").write_text(COMMIT)
        if processor is not None:
            (folder / "preprocessor_config.json").write_text(json.dumps(processor))
        return folder

    return put


@pytest.mark.parametrize("name", NAMES)
def test_a_name_gives_the_features_of_the_object(name, cache):
    cache(name, {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.5, 0.5, 0.5], "size": {"height": 16, "width": 16}})
    backbone = load_backbone("hf:owner/name")
    images = torch.rand(2, 3, 16, 16)
    expected = backbone_of(make(name))
    assert backbone.mean.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert torch.equal(
        backbone.family.features(backbone.model, images), expected.family.features(expected.model, images)
    )
    assert backbone.name == "hf:owner/name"
    assert not any(parameter.is_meta for parameter in backbone.parameters())


def test_a_revision_can_be_named(cache):
    cache("ViTModel")
    assert load_backbone(f"hf:owner/name@{COMMIT}").sha256 == load_backbone("hf:owner/name").sha256


def test_what_is_not_in_the_cache_is_not_fetched(cache):
    with pytest.raises(ConfigError, match=r"(?s)hf:other/name is not in the local cache.*Fix: hf download other/name"):
        load_backbone("hf:other/name")
    with pytest.raises(ConfigError, match="--revision v2"):
        load_backbone("hf:other/name@v2")


@pytest.mark.parametrize("name", ["hf:", "hf:name", "hf:a/b/c", "hf:../x", "hf:a/..", "hf:https://x/y", "hf:a/b@"])
def test_names_that_are_none(name, cache):
    with pytest.raises(ConfigError, match="names no repository"):
        load_backbone(name)


def test_a_folder_of_that_name_is_not_taken_for_it(cache, tmp_path, monkeypatch):
    make("ViTModel").save_pretrained(tmp_path / "owner" / "name")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="not in the local cache"):
        load_backbone("hf:owner/name")


def test_missing_weights_are_told_not_drawn(cache):
    folder = cache("ViTModel")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    with pytest.raises(ConfigError, match="lacks 16 weights"):
        load_backbone("hf:owner/name")


def test_pickles_are_not_read(cache):
    folder = cache("ViTModel")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ConfigError, match="cannot be read"):
        load_backbone("hf:owner/name")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ('{"model_type": "llama"}', '"llama"'),
        ("{}", '"None"'),
        ("[]", "is no object"),
        ("{", "damaged"),
        ('{"model_type": "mine", "auto_map": {"AutoModel": "evil.Model"}}', '"mine"'),
    ],
)
def test_other_content_is_refused(content, words, cache):
    folder = cache("ViTModel")
    (folder / "evil.py").write_text("raise SystemExit")
    (folder / "config.json").write_text(content)
    with pytest.raises(ConfigError, match=words):
        load_backbone("hf:owner/name")


def test_without_the_library_the_message_names_the_command(cache, monkeypatch):
    cache("ViTModel")
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match=r'pip install "sdlora\[hf\]"'):
        hugging_face_cache.read_from_cache("hf:owner/name")


def test_reading_is_silent_and_changes_no_setting(cache, capfd):
    cache("CLIPModel")
    before = logging.get_verbosity(), logging.is_progress_bar_enabled()
    capfd.readouterr()
    load_backbone("hf:owner/name")
    assert capfd.readouterr() == ("", "")
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


OLDER = (
    ("layers.", "encoder.layer."),
    ("attention.q_proj", "attention.attention.query"),
    ("attention.k_proj", "attention.attention.key"),
    ("attention.v_proj", "attention.attention.value"),
    ("attention.o_proj", "attention.output.dense"),
    ("mlp.fc1", "intermediate.dense"),
    ("mlp.fc2", "output.dense"),
)
"""What layers of a ViT are called now, and in files that were published before."""


def test_files_of_older_versions_give_the_same_features(cache):
    folder = cache("ViTModel")
    tensors = load_file(folder / "model.safetensors")
    for new, old in OLDER:
        tensors = {key.replace(new, old): value for key, value in tensors.items()}
    assert "encoder.layer.0.attention.attention.query.weight" in tensors
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    assert load_backbone("hf:owner/name").sha256 == backbone_of(make("ViTModel")).sha256
