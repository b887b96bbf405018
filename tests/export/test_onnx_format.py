import json
import re
import subprocess
import sys
from itertools import product

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from export.taught import HEADS, HOSTILE, taught

from sdlora.errors import CheckError, ConfigError
from sdlora.export import export_onnx, onnx_format
from sdlora.export.check import in_batches, pictures


@pytest.fixture(scope="module")
def parts():
    return taught("probe", 16, 16, classes=HOSTILE[:32])


@pytest.fixture(scope="module")
def exported(parts, tmp_path_factory):
    """Export once; most tests only read it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sdlora.export.latency.MOST", 1)
        patch.setattr("sdlora.export.latency.FEWEST", 1)
        return export_onnx(parts, tmp_path_factory.mktemp("exported") / "shop-onnx")


def test_the_report_says_what_was_found(exported):
    check = exported.check
    assert check.against == f"onnxruntime {onnxruntime.__version__}"
    assert (check.num_images, check.num_same, check.passed) == (64, 64, True)
    assert check.difference <= 1e-5
    assert set(exported.files) == {path.name for path in exported.path.iterdir()} - {"manifest.json"}
    assert exported.next.endswith("shop-onnx/predict.py photo.jpg")


def test_names_of_classes_are_in_their_file_and_nowhere_else(exported):
    stored = json.loads((exported.path / "labels.json").read_text(encoding="utf-8"))
    assert stored == list(HOSTILE[:32])
    for path in exported.path.iterdir():
        assert path.name == "labels.json" or b"passwd" not in path.read_bytes(), path.name


def test_stored_results_are_those_of_the_method(exported, parts):
    stored = np.load(exported.path / "check.npz")
    assert stored["image"].dtype == np.uint8
    expected = parts.method(torch.from_numpy(stored["image"]).float() / 255).softmax(dim=1)
    np.testing.assert_allclose(stored["probability"], expected.detach().numpy(), atol=1e-6)
    assert np.array_equal(stored["image"], pictures(16)[: len(stored["image"])].numpy())


def test_preprocessing_is_stated(exported):
    said = json.loads((exported.path / "preprocessing.json").read_text())
    assert (said["image_size"], said["shorter_side"]) == (16, 18)


def test_what_the_card_says_runs_without_pytorch_or_this_package(exported):
    (snippet,) = re.findall("```python\n(.*?)```", (exported.path / "README.md").read_text(), re.DOTALL)
    guard = "import sys\nsys.modules['torch'] = sys.modules['sdlora'] = None\n"
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            guard + snippet + "print(probability.shape, label in labels)".replace("labels", "[label]"),
        ],
        cwd=exported.path.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["(1,", "32)", "True"]


def test_a_graph_that_differs_is_kept_apart(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_format, "LIMIT", -1.0)
    with pytest.raises(CheckError, match="the export differs from sdlora: onnxruntime"):
        export_onnx(parts, tmp_path / "x")
    assert (tmp_path / "x.failed" / "model.onnx").exists()
    assert not (tmp_path / "x").exists()


def test_what_no_onnx_file_can_hold_is_refused_before_the_work(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_format, "LARGEST", 1000)
    monkeypatch.setattr("sdlora.export.onnx_graph.onnx_bytes", lambda _: pytest.fail("the graph was made"))
    with pytest.raises(ConfigError, match=r"(?s)weights have [\d,]+ bytes.*at most 1,000.*--to timm"):
        export_onnx(parts, tmp_path / "x")


RIDGE = ("sdlora", {"head": "ridge", "layers": "all"})


@pytest.mark.slow
@pytest.mark.parametrize(("name", "options"), [*product(["sdlora", "probe"], HEADS.values()), RIDGE])
def test_the_head_that_predicts_is_in_the_graph_for_any_number_of_images(name, options, tmp_path):
    parts = taught(name, **options)
    export_onnx(parts, tmp_path / "x")
    session = onnxruntime.InferenceSession(tmp_path / "x" / "model.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 3):
        images = torch.rand(count, 3, 16, 16, generator=torch.Generator().manual_seed(count))
        expected = parts.method(images).softmax(dim=1).detach().numpy()
        np.testing.assert_allclose(session.run(None, {"image": images.numpy()})[0], expected, atol=1e-4)
    stored = {entry.name: entry.dims for entry in onnx.load(tmp_path / "x" / "model.onnx").graph.initializer}
    assert not [key for key in stored if "within" in key or "gram" in key or "means" in key], "statistics stay at home"


@pytest.mark.slow
def test_large_logits_are_compared_as_finely_as_float32_rounds_them(tmp_path):
    parts = taught("probe", **HEADS["layers"])
    parts.method.solved_head.weight *= 1000
    report = export_onnx(parts, tmp_path / "x")
    largest = float(in_batches(parts.method, pictures(16)).abs().max())
    assert report.check.limit == pytest.approx(1e-6 * largest)
    assert float(np.load(tmp_path / "x" / "check.npz")["limit"]) == report.check.limit
