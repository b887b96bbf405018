import json
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdlora.learner import Learner


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Return a model that was taught two lessons; no test changes it."""
    root = tmp_path_factory.mktemp("taught")
    draw = np.random.default_rng(0)
    for lesson, classes in (("spring", ("rose", "tulip")), ("summer", ("weight", "lora_A"))):
        for label in classes:
            (root / lesson / label).mkdir(parents=True)
            for index in range(4):
                pixels = draw.integers(0, 256, (20, 24, 3)).astype(np.uint8)
                Image.fromarray(pixels).save(root / lesson / label / f"{index}.png")
    learner = Learner("untrained_vit", device="cpu")
    for lesson in ("spring", "summer"):
        learner.learn(root / lesson, epochs=1)
    return learner.save(root / "shop")


@pytest.fixture
def place(shop, tmp_path, monkeypatch):
    """Work in an empty folder in which the model is called shop."""
    (tmp_path / "shop").symlink_to(shop)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sdlora.export.latency.MOST", 1)
    monkeypatch.setattr("sdlora.export.latency.FEWEST", 1)
    return tmp_path


def test_what_the_models_card_says_runs(place, sdlora):
    card = (place / "shop" / "README.md").read_text()
    used = card.partition("## Use it")[2].partition("\n## ")[0].replace("FOLDER", "shop")
    (snippet,) = re.findall("```python\n(.*?)```", used, re.DOTALL)
    http, onnx = re.findall("```sh\n(.*?)```", used, re.DOTALL)
    assert http.strip() in (Path(__file__).parents[2] / "docs" / "serving.md").read_text()
    Image.new("RGB", (24, 20), "red").save(place / "photo.jpg")
    known: dict[str, Any] = {}
    exec(snippet + "answer = learner.predict('photo.jpg')", known)
    export, ask = (shlex.split(line) for line in onnx.splitlines())
    assert sdlora(*export[1:]).code == 0
    done = subprocess.run([sys.executable, *ask[1:]], cwd=place, capture_output=True, text=True, check=True)
    assert known["answer"].label in done.stdout


LAYERS = {"head.safetensors", "layer_classifier.py"}  # the default head sees several blocks


@pytest.mark.parametrize(
    ("to", "files"),
    [
        ("timm", {"config.json", "model.safetensors", *LAYERS}),
        ("peft", {"adapter_config.json", "adapter_model.safetensors", *LAYERS}),
        ("onnx", {"model.onnx", "preprocessing.json", "predict.py", "check.npz"}),
    ],
)
def test_writes_beside_the_model_what_it_says(to, files, place, sdlora):
    answer = sdlora("export", "shop/", "--to", to)
    assert answer.code == 0
    folder = place / f"shop-{to}"
    there = {path.name for path in folder.iterdir()}
    assert there == files | {"labels.json", "README.md", "export.json", "manifest.json"}
    first, check, speed, *_, last = answer.out.splitlines()
    assert first.startswith(f"Wrote shop-{to}/: ")
    assert "same class 64/64" in check
    assert speed.startswith("Speed: ")
    assert last.startswith("Next: ")
    assert re.fullmatch(r"shop: 4 classes, sdlora on untrained_vit. The check takes about [\d.]+ s.\n", answer.err)
    assert json.loads((folder / "labels.json").read_text()) == ["rose", "tulip", "lora_A", "weight"]
    assert "## How it was taught" in (folder / "README.md").read_text()
    assert str(place) not in (folder / "README.md").read_text()


def test_as_json_and_again_into_the_same_place(place, sdlora):
    for _ in range(2):
        answer = sdlora("export", "shop", "--to", "timm", "--out", "other", "--json", "--quiet")
        assert answer.code == 0
        assert answer.err == ""
        assert answer.json["format"] == "timm"
        assert answer.json["path"] == "other"
        assert answer.json["check"]["passed"] is True
        assert answer.json["check"]["num_same"] == answer.json["check"]["num_images"] == 64
        assert answer.json["files"]["model.safetensors"] == (place / "other" / "model.safetensors").stat().st_size
        assert answer.json["latency_ratio"] > 0


def test_a_folder_of_somebody_else_stays(place, sdlora):
    (place / "shop-timm").mkdir()
    (place / "shop-timm" / "mine.txt").write_text("mine")
    answer = sdlora("export", "shop", "--to", "timm")
    assert answer.code == 2
    assert "Error: shop-timm exists and sdlora did not write it" in answer.err
    assert "--out OTHER" in answer.err
    assert [path.name for path in (place / "shop-timm").iterdir()] == ["mine.txt"]
    assert sdlora("export", "shop", "--to", "timm", "--out", "shop").code == 2


def test_a_failed_check_is_exit_5_and_keeps_the_files(place, sdlora, monkeypatch):
    monkeypatch.setattr("sdlora.export.timm_format.LIMIT", -1.0)
    answer = sdlora("export", "shop", "--to", "timm")
    assert answer.code == 5
    assert "the export differs from sdlora" in answer.err
    assert (place / "shop-timm.failed" / "model.safetensors").exists()
    assert not (place / "shop-timm").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["shop", "--to", "tensorflow"], 2, 'no format "tensorflow"'),
        (["shop"], 2, "--to"),
        (["nowhere", "--to", "timm"], 3, "nowhere"),
    ],
)
def test_mistakes(words, code, message, place, sdlora):
    answer = sdlora("export", *words)
    assert answer.code == code
    assert message in answer.err
    assert "Traceback" not in answer.err


def test_a_method_that_does_not_merge_says_what_works(place, sdlora):
    learner = Learner("untrained_vit", method="simplecil", device="cpu")
    learner.learn((place / "shop").resolve().parent / "spring")
    learner.save(place / "means")
    answer = sdlora("export", "means", "--to", "peft")
    assert answer.code == 2
    assert "Expected: a model taught with inflora, lora, sdlora\nFix: --to onnx" in answer.err
    assert sdlora("export", "means", "--to", "onnx").code == 0
