from dataclasses import replace

import pytest
from export.taught import HOSTILE, taught

from sdlora.export.card import export_card

CARD = """---
library_name: sdlora
base_model: timm/vit_tiny
---

# A title

## Recognises
- lesson 1: rose, tulip

## Measured
94 %

## Use it
sdlora predict

## Files
model-0123.safetensors

## Notes
Mine.
"""


def card(parts, target="onnx"):
    return export_card(parts, target, "\nDo this.\n", {"model.onnx": b"12345"}).decode()


def test_what_the_models_own_card_knows_is_carried_over():
    text = card(replace(taught(), card=CARD))
    for line in ("base_model: timm/vit_tiny", "- lesson 1: rose, tulip", "## Measured\n94 %", "## Notes\nMine."):
        assert line in text
    assert "## Use it\nDo this." in text
    assert "| model.onnx | 5 |" in text
    assert "sdlora predict" not in text
    assert "model-0123" not in text
    assert text.count("## Files") == text.count("## Use it") == 1


@pytest.mark.parametrize(("target", "library"), [("timm", "timm"), ("peft", "peft"), ("onnx", "onnxruntime")])
def test_without_one_it_says_what_is_known(target, library):
    text = card(taught(), target)
    assert text.startswith(f"---\nlibrary_name: {library}\n")
    assert "5 classes: `labels.json`" in text
    assert "base_model" not in text


def test_names_of_classes_do_not_reach_it_but_through_the_card():
    names = HOSTILE[:30]
    text = card(taught("probe", 15, 15, classes=names))
    assert "passwd" not in text
    assert "<script>" not in text
