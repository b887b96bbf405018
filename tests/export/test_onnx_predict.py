import json
import subprocess
import sys

import numpy as np
import pytest
from export.taught import taught
from pictures import photo
from PIL import Image

from sdlora.datasets.base import AugmentOptions
from sdlora.datasets.images import decode_small
from sdlora.export import export_onnx, onnx_predict
from sdlora.streams.resample import resample_each
from sdlora.streams.views import central_views

SIDE, SHORTER = 16, 18
PREPROCESSING = {"image_size": SIDE, "shorter_side": SHORTER}


def seen_by_sdlora(path):
    """Return a picture (3, side, side) in 0..1 as evaluation makes it."""
    pixels = decode_small(path, SHORTER)
    views = central_views(np.array([pixels.shape[:2]]), SIDE, AugmentOptions())
    return resample_each([pixels], views, SIDE)[0].numpy()


def noise(*shape, levels=256, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, levels, shape).astype(dtype)


def _turned(path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(40, 61, 3)).save(path, exif=exif)


PICTURES = {
    "wide.png": lambda path: Image.fromarray(noise(37, 83, 3)).save(path),
    "tall.bmp": lambda path: Image.fromarray(noise(83, 37, 3)).save(path),
    "exact.png": lambda path: Image.fromarray(noise(18, 31, 3)).save(path),
    "turned.png": _turned,
    "grey.png": lambda path: Image.fromarray(noise(40, 50)).save(path),
    "deep.png": lambda path: Image.fromarray(noise(40, 50, levels=65536, dtype=np.uint16)).save(path),
    "clear.png": lambda path: Image.fromarray(noise(40, 50, 4)).save(path),
    "palette.gif": lambda path: Image.fromarray(noise(40, 50, 3)).quantize(16).save(path),
    "large.jpg": lambda path: Image.fromarray(photo(300, 200)).save(path),
    "cmyk.tif": lambda path: Image.fromarray(noise(40, 50, 4), "CMYK").save(path),
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_evaluation_makes_of_it(name, tmp_path):
    PICTURES[name](tmp_path / name)
    found = onnx_predict.read(tmp_path / name, PREPROCESSING)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, seen_by_sdlora(tmp_path / name), atol=1e-6)


def test_a_picture_that_has_to_grow_is_within_a_level_or_two(tmp_path):
    Image.fromarray(noise(9, 12, 3)).save(tmp_path / "small.png")
    found = onnx_predict.read(tmp_path / "small.png", PREPROCESSING)
    np.testing.assert_allclose(found, seen_by_sdlora(tmp_path / "small.png"), atol=2.01 / 255)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    parts = taught("probe")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sdlora.export.latency.MOST", 1)
        patch.setattr("sdlora.export.latency.FEWEST", 1)
        return parts, export_onnx(parts, tmp_path_factory.mktemp("exported") / "shop onnx").path


ALONE = """
import runpy, sys
sys.modules["torch"] = sys.modules["sdlora"] = None
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


def test_as_a_program_it_names_the_likeliest_classes(exported, tmp_path):
    parts, folder = exported
    PICTURES["wide.png"](tmp_path / "wide.png")
    script = [sys.executable, "-c", ALONE, str(folder / "predict.py"), "wide.png"]
    done = subprocess.run(script, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    path, *best = done.stdout.rstrip("\n").split("\t")
    image = onnx_predict.read(tmp_path / "wide.png", PREPROCESSING)
    expected = parts.method(parts.backbone.mean.new_tensor(image[None])).detach().softmax(dim=1)[0]
    order = expected.argsort(descending=True)[:3].tolist()
    assert path == "wide.png"
    assert [text.rpartition(" ")[0] for text in best] == [parts.classes[index] for index in order]
    assert [float(text.rpartition(" ")[2]) for text in best] == pytest.approx(
        [float(expected[index]) for index in order], abs=1e-3
    )


def test_a_file_that_is_no_picture_does_not_stop_the_others(exported, tmp_path, monkeypatch, capsys):
    _, folder = exported
    monkeypatch.setattr(onnx_predict, "HERE", folder)
    PICTURES["wide.png"](tmp_path / "wide.png")
    (tmp_path / "notes.txt").write_text("no picture")
    words = [str(tmp_path / name) for name in ("gone.png", "notes.txt", "wide.png")]
    assert onnx_predict.main(words) == 1
    told = capsys.readouterr()
    assert [line.split("\t")[0] for line in told.out.splitlines()] == words[2:]
    assert [line.split("\t")[0] for line in told.err.splitlines()] == words[:2]
    assert "Traceback" not in told.err


def test_it_checks_itself(exported, tmp_path, monkeypatch, capsys):
    _, folder = exported
    monkeypatch.setattr(onnx_predict, "HERE", folder)
    assert onnx_predict.main(["--check"]) == 0
    assert "as exported" in capsys.readouterr().out
    stored = dict(np.load(folder / "check.npz"))
    for name in ("model.onnx", "labels.json", "preprocessing.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    np.savez(tmp_path / "check.npz", **{**stored, "probability": stored["probability"] + 1e-3})
    monkeypatch.setattr(onnx_predict, "HERE", tmp_path)
    assert onnx_predict.main(["--check"]) == 1
    assert "NOT as exported" in capsys.readouterr().out


def test_without_pictures_it_says_how_it_is_used(capsys):
    assert onnx_predict.main([]) == 2
    assert "python predict.py PHOTO" in capsys.readouterr().out
    assert onnx_predict.main(["--help"]) == 0


def test_the_labels_it_reads_are_those_of_the_export(exported, monkeypatch):
    parts, folder = exported
    monkeypatch.setattr(onnx_predict, "HERE", folder)
    _, labels, preprocessing = onnx_predict.load()
    assert labels == list(parts.classes)
    assert preprocessing == json.loads((folder / "preprocessing.json").read_text())
