import sys

import pytest
from export.taught import taught

from sdlora.errors import ConfigError
from sdlora.export import export_onnx, export_peft
from sdlora.export.extras import need


def test_what_is_installed_is_enough():
    need("x", "json", "numpy")


@pytest.mark.parametrize(
    ("export", "missing", "words"),
    [
        (export_onnx, "onnxruntime", r"export to onnx needs onnx, onnxscript, onnxruntime"),
        (export_onnx, "onnxscript", r"export to onnx needs onnx, onnxscript, onnxruntime"),
        (export_peft, "peft", "export to peft needs peft"),
    ],
)
def test_what_is_missing_is_named_with_the_command(export, missing, words, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ConfigError, match=rf'(?s){words}.*Fix: pip install "sdlora\[export\]"'):
        export(taught(), tmp_path / "x")
    assert not (tmp_path / "x").exists()
