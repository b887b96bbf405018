"""What an export holds besides the vision transformer where the features of several blocks predict."""

from __future__ import annotations

import inspect
import runpy
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sdlora.backbones import layer_classifier
from sdlora.files import tensor_bytes

HEAD, SOURCE = "head.safetensors", "layer_classifier.py"


def layer_files(layers: tuple[int, ...], head: nn.Linear) -> dict[str, bytes]:
    """Return the linear layer with the indices of its blocks, and the Python that puts it on a vision transformer."""
    tensors = {"layers": torch.tensor(layers), "weight": head.weight.detach(), "bias": head.bias.detach()}
    return {HEAD: tensor_bytes(tensors), SOURCE: inspect.getsource(layer_classifier).encode()}


def layer_snippet(name: str) -> str:
    """Return the Python that goes from the vision transformer, called ``model``, to the classifier."""
    return "\n".join(
        [
            "import sys",
            "from safetensors.torch import load_file",
            f'sys.path.insert(0, "{name}")',
            "from layer_classifier import LayerClassifier  # one linear layer on the tokens of several blocks",
            f'model = LayerClassifier(model, **load_file("{name}/{HEAD}")).eval()',
        ]
    )


def load_layers(folder: Path, model: nn.Module) -> nn.Module:
    """Do what `layer_snippet` says with the files in a folder that this process has written."""
    from safetensors.torch import load_file

    made: Any = runpy.run_path(str(folder / SOURCE))["LayerClassifier"]
    loaded: nn.Module = made(model, **load_file(folder / HEAD))
    return loaded.eval()
