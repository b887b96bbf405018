"""Export to ONNX: a graph with normalisation and softmax inside, and what is needed to use it without PyTorch."""

from __future__ import annotations

import importlib.resources
import io
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sdlora.bundle.history import MARK
from sdlora.errors import ConfigError
from sdlora.export.card import export_card
from sdlora.export.check import compare, in_batches, pictures
from sdlora.export.extras import need
from sdlora.export.folder import claim, finish, mark
from sdlora.export.latency import latency_ratio
from sdlora.export.parts import Parts, parts_of
from sdlora.export.report import Check, ExportReport
from sdlora.files import json_bytes

if TYPE_CHECKING:
    from sdlora.learner import Learner

LIMIT = 1e-4  # of probabilities, while no logit is larger than LARGE: float32 rounds larger ones more coarsely
LARGE = 100.0
STORED = 8  # images in check.npz
LARGEST = 2_000_000_000  # bytes of weights: one ONNX file has less than 2 GiB


def export_onnx(taught: Learner | Parts, folder: str | Path) -> ExportReport:
    """Write a folder that classifies with onnxruntime, numpy and Pillow alone.

    Args:
        taught: What has learned, with any method: one that does not merge keeps its own way of predicting.
        folder: Where it goes; an earlier export there is replaced.

    Raises:
        ConfigError: If a package is missing, the method cannot be a graph, or the folder is somebody else's.
        CheckError: If the written graph does not give the same probabilities; it is kept as ``FOLDER.failed``.
        StorageError: If it cannot be written.
    """
    need("onnx", "onnx", "onnxscript", "onnxruntime")
    import onnxruntime

    from sdlora.export.onnx_graph import INPUT, Classifier, onnx_bytes

    parts, path = parts_of(taught), Path(folder)
    claim(path)
    size = sum(tensor.nbytes for tensor in parts.method.state_dict().values())
    if size > LARGEST:
        raise ConfigError(
            f"the weights have {size:,} bytes", expected=f"at most {LARGEST:,} for an ONNX file", fix="--to timm"
        )
    graph = onnx_bytes(parts.method)
    side, count = parts.backbone.image_size, len(parts.classes)
    images = pictures(side)
    logits = in_batches(parts.method, images).float()
    expected, limit = logits.softmax(dim=1), LIMIT * max(1.0, float(logits.abs().max()) / LARGE)
    files = {
        "model.onnx": graph,
        "labels.json": json_bytes(list(parts.classes)),
        "preprocessing.json": json_bytes(_preprocessing(parts)),
        "predict.py": importlib.resources.files("sdlora.export").joinpath("onnx_predict.py").read_bytes(),
        "check.npz": _stored(images[:STORED], expected[:STORED], limit),
        MARK: mark(parts, "onnx"),
    }
    files["README.md"] = export_card(parts, "onnx", _USE.format(name=path.name, side=side, count=count), files)

    def check(made: Path) -> Check:
        session: Any = onnxruntime.InferenceSession(str(made / "model.onnx"), providers=["CPUExecutionProvider"])

        def run(batch: Tensor) -> Tensor:
            return torch.from_numpy(session.run(None, {INPUT: batch.numpy()})[0])

        alone, together = run(images[:1].float() / 255), in_batches(run, images)
        found = torch.cat([alone, together[1:]])  # N is free: one image alone, the others in batches
        version = f"onnxruntime {onnxruntime.__version__}"
        return compare(expected, found, against=version, quantity="probabilities", limit=limit)

    predict = Classifier(parts.method).method
    return finish(
        path,
        "onnx",
        files,
        check,
        ratio=lambda: latency_ratio(parts, predict),
        lines=(
            f"Input   image        float32 (N, 3, {side}, {side}), RGB from 0 to 1, N free; normalisation is inside",
            f"Output  probability  float32 (N, {count}), softmax is inside; column i is entry i of labels.json",
        ),
        next_step=f"python {shlex.quote(str(path / 'predict.py'))} photo.jpg",
    )


_USE = """
```sh
pip install onnxruntime numpy pillow
python {name}/predict.py photo.jpg
python {name}/predict.py --check
```
```python
import json
import numpy as np
import onnxruntime
session = onnxruntime.InferenceSession("{name}/model.onnx")
image = np.zeros((1, 3, {side}, {side}), np.float32)  # RGB from 0 to 1, any number of images; normalisation is inside
(probability,) = session.run(None, {{"image": image}})  # (1, {count}), softmax is inside
label = json.load(open("{name}/labels.json", encoding="utf-8"))[probability[0].argmax()]
```
How a file becomes those numbers stands in `preprocessing.json` and, as code, in `predict.py`."""


def _preprocessing(parts: Parts) -> dict[str, Any]:
    """Say how a picture file becomes the input, in words that other languages can follow."""
    return {
        "image_size": parts.backbone.image_size,
        "shorter_side": parts.shorter_side,
        "steps": [
            "turn upright by its EXIF orientation",
            "put on white where it is transparent, convert to RGB",
            "resize the shorter side to shorter_side pixels: bicubic, antialiased, the longer side rounded down",
            "cut out the central image_size x image_size pixels",
            "divide by 255; normalisation is inside the graph",
        ],
        "layout": "float32 (N, 3, image_size, image_size)",
    }


def _stored(images: Tensor, probabilities: Tensor, limit: float) -> bytes:
    """Return ``check.npz``: images as uint8, what sdlora gives for them, and the largest difference that passes."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, image=images.numpy(), probability=probabilities.numpy(), limit=limit)
    return buffer.getvalue()
