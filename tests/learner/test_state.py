"""H1, H4, H5: what a bundle may say and what not, and how a method comes back from it."""

import sys

import pytest
import torch
from lessons import learner
from teaching import make_tasks, teach

import sdlora
from sdlora.backbones.vit import load_backbone
from sdlora.bundle import BackboneSource, Description, MethodSource, commit_lesson, read_bundle
from sdlora.engine.checkpoint import stored_state
from sdlora.errors import BundleError, ConfigError
from sdlora.learner.state import copy_method, is_named, make_method, predictor_of
from sdlora.methods import METHODS


@pytest.fixture
def shop(tmp_path):
    learner("sdlora", (0, 1), (2, 3), adapt_tasks=None).save(tmp_path / "shop")
    return tmp_path / "shop"


def change(path, tensors=None, **fields):
    """Commit what somebody with tools could make of a bundle: hashes and sizes are right, the content is not."""
    bundle = read_bundle(path)
    known = {name: getattr(bundle.config, name) for name in Description.model_fields}
    description = Description.model_construct(**known | fields)
    commit_lesson(path, description, tensors or bundle.tensors, parent_generation=bundle.config.generation)


@pytest.mark.parametrize(
    "name", ["hf-hub:a/b", "local-dir:/tmp/x", "https://a.b/c", "/etc/passwd", "../x", "os.system", "x"]
)
def test_h5_a_backbone_is_a_known_name(shop, name):
    change(shop, backbone=BackboneSource(name=name, sha256="0" * 64))
    with pytest.raises(BundleError, match="backbone"):
        sdlora.Learner.load(shop)


def test_another_version_of_the_backbone_is_refused(shop):
    change(shop, backbone=BackboneSource(name="untrained_vit", sha256="0" * 64))
    with pytest.raises(BundleError, match="was taught on untrained_vit with sha256 00000000; the one here has"):
        sdlora.Learner.load(shop)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("os", {}),
        ("sdlora.methods.sdlora.SDLoRA", {}),
        ("joint", {}),
        ("sdlora", {"unheard_of": 1}),
        ("sdlora", {"rank": "ten"}),
        ("sdlora", {"rank": 0}),
        ("sdlora", {"rank": 60_000}),
        ("sdlora", {"targets": ("nothing",)}),
        ("sdlora", {"backbone": 1}),
        ("coda_prompt", {"layers": (99,)}),
    ],
)
def test_h5_a_method_is_a_known_name_with_options_of_its_own(shop, name, options):
    before = set(sys.modules)
    change(shop, method=MethodSource(name=name, options=options))
    with pytest.raises(BundleError):
        sdlora.Learner.load(shop)
    assert "os.path" in before


@pytest.mark.parametrize("kind", ["missing", "unknown", "dtype", "shape", "larger", "huge"])
def test_h4_tensors_are_exactly_those_of_the_method(shop, kind):
    tensors = dict(read_bundle(shop).tensors)
    name = "head.blocks.1.weight"
    if kind == "missing":
        del tensors[name]
    else:
        value = tensors[name]
        new = {
            "unknown": value,
            "dtype": value.double(),
            "shape": value[:1].clone(),
            "larger": torch.cat([value, value]),
            "huge": value + 1e6,
        }[kind]
        tensors["extra" if kind == "unknown" else name] = new
    change(shop, tensors)
    with pytest.raises(BundleError, match=r"extra" if kind == "unknown" else r"head\.blocks\.1\.weight"):
        sdlora.Learner.load(shop)


def test_h5_loading_starts_nothing_and_opens_no_connection(shop):
    events = []
    watched = ("pickle.find_class", "socket.connect", "subprocess.Popen", "os.system", "exec")

    def hook(event, _):
        if event in watched and events is not None:
            events.append(event)

    sdlora.Learner.load(shop, device="cpu")  # imports what it needs
    sys.addaudithook(hook)
    sdlora.Learner.load(shop, device="cpu")
    found, events = events, None
    assert [event for event in found if event != "exec"] == []


def test_options_are_told_in_their_own_words():
    with pytest.raises(ConfigError, match=r"rank = 'ten'\nExpected: integer"):
        sdlora.Learner("untrained_vit", rank="ten")
    with pytest.raises(ConfigError, match=r"sdlora has no option rnak(?s:.)*did you mean rank"):
        sdlora.Learner("untrained_vit", rnak=2)
    with pytest.raises(ConfigError, match="learns everything at once"):
        sdlora.Learner("untrained_vit", method="joint")
    with pytest.raises(ConfigError, match="no method is called"):
        sdlora.Learner("untrained_vit", method="sd")
    made = sdlora.Learner("untrained_vit", targets=["qkv:q"], rank=2, device="cpu")
    usual = {"head": "discriminant", "layers": "all", "max_features": 2048, "adapt_tasks": 1}
    assert made.method_options == {**usual, "targets": ["qkv:q"], "rank": 2}


def test_a_copy_shares_what_is_frozen_and_nothing_else():
    method = learner("sdlora", (0, 1)).method
    twin = copy_method(method)
    own, other = dict(method.named_parameters()), dict(twin.named_parameters())
    assert all((own[name] is other[name]) == (name not in stored_state(method)) for name in own)


def test_a_predictor_shares_all_numbers_and_holds_no_adapters():
    method = learner("sdlora", (0, 1)).method
    predictor = predictor_of(method)
    assert not any("lora" in name for name, _ in predictor.named_parameters())
    images = torch.rand(4, 3, 16, 16)
    torch.testing.assert_close(predictor(images), method(images), atol=1e-6, rtol=0)


@pytest.mark.parametrize("layers", [None, 1, "all"])
def test_a_predictor_gives_the_same_under_a_solved_head(layers):
    options = {"head": "discriminant", "layers": layers}
    method = teach(METHODS.get("sdlora")(load_backbone("untrained_vit"), **options), make_tasks(2, 2)).eval()
    with torch.no_grad():
        images = torch.rand(4, 3, 16, 16)
        expected, found = method(images), predictor_of(method)(images)
    assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-5


def test_a_name_must_lead_to_the_backbone():
    backbone = learner().backbone
    assert is_named(backbone)
    backbone.name = "custom"
    assert not is_named(backbone)


def test_a_name_that_cannot_be_fetched_leads_nowhere(monkeypatch):
    def offline(name):
        raise ConnectionError("no network")

    backbone = learner().backbone
    monkeypatch.setattr("sdlora.learner.state.load_backbone", offline)
    assert not is_named(backbone)


def test_methods_start_from_the_seed():
    from sdlora.backbones.vit import load_backbone

    one, two = (make_method("l2p", load_backbone("untrained_vit"), {}, 5).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
