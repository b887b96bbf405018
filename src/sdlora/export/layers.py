"""What an export holds besides the vision transformer where the features of several blocks predict."""

from __future__ import annotations

import inspect
from pathlib import Path

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
    """Do what `layer_snippet` says with the tensors in a folder; the class is the one whose source stands next to them.

    Raises:
        RuntimeError: If that file holds another source.
    """
    from safetensors.torch import load_file

    if (folder / SOURCE).read_bytes() != inspect.getsource(layer_classifier).encode():
        raise RuntimeError(f"{folder / SOURCE} is not the source that was written")
    tensors = load_file(folder / HEAD)
    return layer_classifier.LayerClassifier(model, tensors["layers"], tensors["weight"], tensors["bias"]).eval()
