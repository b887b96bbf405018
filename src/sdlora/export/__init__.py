"""A taught model in the forms that other libraries read: timm, PEFT, ONNX.

Every export ends by loading what it wrote and comparing it with sdlora on generated images.
"""

from sdlora.export.latency import expected_seconds
from sdlora.export.onnx_format import export_onnx
from sdlora.export.parts import Parts, parts_of
from sdlora.export.peft_format import export_peft
from sdlora.export.report import Check, ExportReport
from sdlora.export.timm_format import export_timm

__all__ = [
    "Check",
    "ExportReport",
    "Parts",
    "expected_seconds",
    "export_onnx",
    "export_peft",
    "export_timm",
    "parts_of",
]
