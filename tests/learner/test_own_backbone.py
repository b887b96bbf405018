"""A learner on a backbone that no name leads to is saved and loaded like any other, or refused with the reason."""

import json
import shutil

import numpy as np
import pytest
import torch
from audit import audited
from backbones.hugging_face_models import make
from bundles import contents, newest
from lessons import Stripes, everything, write_stripes
from vits import own_vit

import sdlora
from sdlora.backbones.vit import Backbone, load_backbone
from sdlora.bundle import read_bundle, read_config
from sdlora.errors import BundleError, ConfigError
from sdlora.export import export_peft, export_timm
from sdlora.files import digest
from sdlora.learner.own_backbone import OwnBackbone
from sdlora.learner.state import backbone_in
from sdlora.methods import METHODS

KINDS = {
    "timm": lambda: own_vit(init_values=0.1),
    "vit": lambda: make("ViTModel"),
    "dinov2": lambda: make("Dinov2ForImageClassification"),
    "clip": lambda: make("CLIPModel"),
}
ALL = [name for name in METHODS.names() if not METHODS.get(name).joint]
SMALL = {
    "coda_prompt": {"layers": (0, 1)},
    "hide_prompt": {"layers": (0, 1)},
    "dualprompt": {"g_layers": (0,), "e_layers": (1,)},
}


def taught(model, method="sdlora", *lessons, **options):
    made = sdlora.Learner(model, method=method, device="cpu", **options)
    for numbers in lessons or ((0, 1), (2, 3)):
        made.learn(Stripes(numbers), epochs=1)
    return made


def same(one, two):
    return np.array_equal(one.predict_proba(everything()), two.predict_proba(everything()))


def load(path):
    return sdlora.Learner.load(path, device="cpu")


@pytest.mark.parametrize("name", ALL)
def test_b3_with_every_method_it_predicts_the_same_bits_and_goes_on_learning(name, tmp_path):
    made = taught(own_vit(), name, **SMALL.get(name, {}))
    made.save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert same(made, loaded)
    for learner in (made, loaded):
        learner.learn(Stripes((4, 5)), epochs=1)
    loaded.save(tmp_path / "m")
    assert same(made, load(tmp_path / "m"))
    assert len(list((tmp_path / "m").glob("base-*"))) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_b3_every_kind_of_model(kind, tmp_path):
    made = taught(KINDS[kind](), "lora")
    made.save(tmp_path / "m")
    with audited() as events:
        loaded = load(tmp_path / "m")
    assert events == []
    assert same(made, loaded)
    assert loaded.backbone.sha256 == made.backbone.sha256
    assert loaded.summary() == made.summary()


def test_it_is_proved_before_anything_is_written_and_only_once(tmp_path, monkeypatch):
    made, proofs = taught(own_vit(), "probe"), []
    real = Backbone.forward
    monkeypatch.setattr(Backbone, "forward", lambda self, images: proofs.append(len(images)) or real(self, images))
    made.save(tmp_path / "m")
    assert proofs == [2, 2]
    made.save(tmp_path / "other")
    assert proofs == [2, 2]


def test_mean_deviation_and_size_are_kept(tmp_path):
    model = own_vit(dynamic_img_size=True)
    given = Backbone(model, name="my vit", mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), image_size=24)
    made = taught(given, "probe")
    made.save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert loaded.backbone.statistics() == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (loaded.image_size, loaded.backbone.name) == (24, "my vit")
    assert same(made, loaded)


def test_a_copy_of_the_bundle_and_one_saved_elsewhere_are_whole(tmp_path):
    taught(own_vit(), "finetune").save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    shutil.move(tmp_path / "m", tmp_path / "moved")
    loaded.learn(Stripes((4, 5)), epochs=1)
    loaded.save(tmp_path / "elsewhere")
    assert same(loaded, load(tmp_path / "elsewhere"))
    (name,) = (path.name for path in (tmp_path / "moved").glob("base-*"))
    assert (tmp_path / "moved" / name).read_bytes() == (tmp_path / "elsewhere" / name).read_bytes()


def test_undo_and_new_names(tmp_path):
    made = taught(own_vit(), "sdlora")
    made.save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    loaded.rename({"stripes 0": "rose"})
    loaded.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert again.undo().task == 2
    again.save(tmp_path / "m")
    assert load(tmp_path / "m").classes == ("rose", "stripes 1")
    assert same(again, load(tmp_path / "m"))


def test_saving_twice_gives_the_same_bytes(tmp_path):
    made = taught(own_vit(), "probe")
    for name in "ab":
        made.save(tmp_path / name)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_a_name_that_leads_to_the_same_weights_is_enough(tmp_path):
    made = taught(load_backbone("untrained_vit"), "probe")
    made.save(tmp_path / "m")
    assert read_config(tmp_path / "m").format == 1
    assert not list((tmp_path / "m").glob("base-*"))


def test_a_model_that_was_tuned_on_is_kept_as_it_was_given(tmp_path):
    model = load_backbone("glyph_vit").model
    with torch.no_grad():
        model.norm.weight.mul_(1.5)
    made = sdlora.Learner(model, method="probe", device="cpu")
    made.learn(Stripes((0, 1)), epochs=1)
    made.save(tmp_path / "m")
    assert read_config(tmp_path / "m").backbone.base.blueprint.stem == "ConvStem"
    assert same(made, load(tmp_path / "m"))


def test_the_command_line_teaches_it(tmp_path, capsys):
    from sdlora.cli.main import main

    taught(own_vit(), "probe").save(tmp_path / "m")
    write_stripes(tmp_path / "pictures", (4, 5))
    assert main(["learn", str(tmp_path / "m"), str(tmp_path / "pictures"), "--epochs", "1"]) == 0
    assert main(["inspect", str(tmp_path / "m")]) == 0
    shown = capsys.readouterr().out
    base = read_config(tmp_path / "m").backbone.base
    assert (
        f"backbone custom (sha256 {load(tmp_path / 'm').backbone.sha256[:8]}), 0.0318 M, 0.13 MB in {base.file}"
        in shown
    )
    assert load(tmp_path / "m").num_seen == 6
    card = (tmp_path / "m" / "README.md").read_text()
    assert "in this folder" in card
    assert f"| {base.file} | {base.size} | `{base.sha256}` |" in card


def test_it_is_served(tmp_path):
    from sdlora.server.served import load_bundle

    made = taught(own_vit(), "probe")
    made.save(tmp_path / "m")
    served = load_bundle(tmp_path / "m", device="cpu")
    batch = torch.from_numpy(everything()[:4])
    assert np.array_equal(served.probabilities(batch), made.probabilities(batch))


def test_it_is_exported(tmp_path):
    taught(own_vit(), "sdlora").save(tmp_path / "m")
    assert export_timm(load(tmp_path / "m"), tmp_path / "timm").check.passed


def test_an_adapter_of_peft_finds_its_base_in_the_bundle(tmp_path):
    """As docs/export.md says."""
    peft = pytest.importorskip("peft")
    made = taught(own_vit(), "sdlora", layers=None)
    made.save(tmp_path / "m")
    assert export_peft(load(tmp_path / "m"), tmp_path / "peft").check.passed
    bundle = read_bundle(tmp_path / "m")
    base = backbone_in(bundle.config, bundle.base).model
    base.reset_classifier(made.num_seen)
    model = peft.PeftModel.from_pretrained(base, str(tmp_path / "peft")).eval()
    images = torch.rand(4, 3, 16, 16)
    found, expected = model(made.backbone.normalise(images)), made.method(images)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def hooked():
    model = own_vit()
    model.blocks[0].register_forward_hook(lambda module, given, found: 2 * found)
    return model


def broken():
    model = own_vit()
    with torch.no_grad():
        model.patch_embed.proj.bias[3] = 1e13
    return model


class Scaled(torch.nn.Linear):
    def forward(self, x):
        return 3 * super().forward(x)


def custom():
    model = own_vit()
    model.blocks[1].mlp.fc2 = Scaled(128, 32)
    return model


REFUSED = {
    "hook": (hooked, r"its part blocks\.0 has a hook"),
    "a layer of one's own": (custom, r"its part blocks\.1\.mlp\.fc2 is a Scaled, not the Linear of its library"),
    "beyond all numbers": (broken, r"tensor patch_embed\.proj\.bias holds the value 1e\+13"),
    "beyond all sizes": (lambda: own_vit(reg_tokens=2000), "reg_tokens = '2000': Input should be less than"),
    "a name that steers": (lambda: Backbone(own_vit(), name="a\x1b[31m"), "the name holds control characters"),
    "another sha256": (lambda: Backbone(own_vit(), name="a", sha256="0" * 64), r"not 00000000 as it states"),
}


@pytest.mark.parametrize(("make_model", "words"), REFUSED.values(), ids=REFUSED)
def test_what_would_not_load_the_same_is_not_saved(make_model, words, tmp_path):
    made = taught(make_model(), "probe", (0, 1))
    with pytest.raises(ConfigError, match=rf"cannot be saved in a bundle: .*{words}(?s:.*)keep learner\.merge"):
        made.save(tmp_path / "m")
    assert not (tmp_path / "m").exists()
    made.predict(everything()[0])


def test_other_features_are_refused_whatever_is_said_of_the_parts(tmp_path, monkeypatch):
    from sdlora.backbones import likeness

    made = taught(custom(), "probe", (0, 1))
    monkeypatch.setattr(likeness, "_differences", lambda *_: iter(()))
    with pytest.raises(ConfigError, match="built anew from sizes and weights it computes other features"):
        made.save(tmp_path / "m")


def test_weights_that_were_changed_since_are_not_saved_elsewhere(tmp_path):
    model = own_vit()
    made = taught(model, "probe", (0, 1))
    made.save(tmp_path / "m")
    with torch.no_grad():
        made.backbone.model.norm.bias.add_(1)
    with pytest.raises(ConfigError, match="its weights were changed"):
        made.save(tmp_path / "other")


def test_the_plain_backbone_shares_its_numbers_and_gives_the_bytes_of_the_file(tmp_path):
    given = load_backbone("untrained_vit", width=16)
    own = OwnBackbone(given)
    assert own._plain.model.norm.weight is given.model.norm.weight
    base = own.source.base
    assert (digest(own.give()), len(own.give())) == (base.sha256, base.size)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda document: document["preprocessing"].update(image_size=64), "images of 64 pixels for a model of 16"),
        (lambda document: document["backbone"].update(sha256="0" * 64), "with sha256 00000000; the one here has"),
        (lambda document: document["backbone"]["base"]["blueprint"].update(qk_norm=True), "is missing"),
    ],
)
def test_a_document_that_says_something_else_of_it_is_refused(change, words, tmp_path):
    taught(own_vit(), "probe", (0, 1)).save(tmp_path / "m")
    file = newest(tmp_path / "m")
    document = json.loads(file.read_text())
    change(document)
    file.write_text(json.dumps(document | {"sha256": None}))
    with pytest.raises(BundleError, match=words):
        load(tmp_path / "m")


def test_what_is_loaded_depends_on_no_file_any_more(tmp_path):
    taught(own_vit(), "probe", (0, 1)).save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    before = loaded.predict_proba(everything())
    for file in (tmp_path / "m").glob("*.safetensors"):
        with file.open("r+b") as stream:
            stream.truncate(1)
    assert np.array_equal(loaded.predict_proba(everything()), before)
    with pytest.raises(BundleError):
        read_bundle(tmp_path / "m")
