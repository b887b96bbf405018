"""A method as an ONNX graph."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from sdlora.adapters.merge import merge
from sdlora.errors import ConfigError
from sdlora.methods.base import Method
from sdlora.methods.plain import name_of

OPSET = 20
INPUT, OUTPUT = "image", "probability"


class Classifier(nn.Module):
    """What the graph computes: normalisation, backbone, head and softmax.

    A method that merges is merged; of the others all is kept that a prediction takes. Counts become constants: a graph
    cannot branch on them.

    Args:
        method: Is copied.

    Shape:
        Input (N, 3, H, W), float32 in 0..1; output (N, K), rows sum to 1.
    """

    def __init__(self, method: Method) -> None:
        super().__init__()
        self.method = merge(method) if method.mergeable else copy.deepcopy(method)
        for module in self.method.modules():
            for name, buffer in list(module.named_buffers(recurse=False)):
                if buffer.ndim == 0 and not buffer.is_floating_point():
                    delattr(module, name)
                    setattr(module, name, int(buffer))
        self.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        return self.method(image).float().softmax(dim=1)  # type: ignore[no-any-return]


def onnx_bytes(method: Method) -> bytes:
    """Return a graph from `INPUT` (N, 3, H, W), float32 in 0..1, N free, to `OUTPUT` (N, K).

    Raises:
        ConfigError: If the exporter cannot express what the method does.
    """
    side = method.backbone.image_size
    example = torch.rand(2, 3, side, side)
    with _hushed(), torch.no_grad():
        try:
            program: Any = torch.onnx.export(
                Classifier(method),
                (example,),
                dynamo=True,
                dynamic_shapes={INPUT: {0: torch.export.Dim("N")}},
                input_names=[INPUT],
                output_names=[OUTPUT],
                opset_version=OPSET,
                custom_translation_table={torch.ops.aten.sort.stable: _stable_sort()},
                verbose=False,
            )
        except torch.onnx.errors.OnnxExporterError as error:
            raise ConfigError(
                f"{name_of(method)} cannot be written as an ONNX graph: {str(error).splitlines()[0]}"
            ) from error
    return program.model_proto.SerializeToString()  # type: ignore[no-any-return]


def _stable_sort() -> Callable[..., Any]:
    """Return what stands for a stable sort: ONNX's TopK of all entries gives of equals the first one first."""
    import onnxscript

    op: Any = onnxscript.opset20

    def stable_sort(self: Any, *, stable: bool = True, dim: int = -1, descending: bool = False) -> Any:
        length = op.Gather(op.Shape(self), op.Constant(value_ints=[dim]))
        return op.TopK(self, length, axis=dim, largest=int(descending), sorted=1)

    return stable_sort


@contextmanager
def _hushed() -> Iterator[None]:
    """Keep the exporter's remarks to itself; what matters is checked afterwards."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
