import json
from pathlib import Path

from sdlora.export.report import Check, ExportReport

CHECK = Check("onnxruntime 1.32.0", "probabilities", 64, 64, 3.1e-6, 1e-4)
REPORT = ExportReport(
    "onnx", Path("shop-onnx"), {"model.onnx": 344_000_000, "labels.json": 412}, CHECK, 1.004, ("Input   x",), "python p"
)


def test_text_is_what_a_person_wants_to_know():
    assert REPORT.text().splitlines() == [
        "Wrote shop-onnx/: model.onnx 344 MB, labels.json 412 B",
        "Check: 64 generated images, onnxruntime 1.32.0 against sdlora: same class 64/64, "
        "largest difference of probabilities 3.1e-06 (limit 1e-04)",
        "Speed: 1.00 times the plain backbone (time for one image, in turns)",
        "Input   x",
        "Next: python p",
    ]


def test_document_holds_all_figures():
    document = json.loads(json.dumps(REPORT.to_dict()))
    assert document["check"] == {
        "against": "onnxruntime 1.32.0",
        "quantity": "probabilities",
        "num_images": 64,
        "num_same": 64,
        "difference": 3.1e-6,
        "limit": 1e-4,
        "passed": True,
    }
    assert document["files"] == {"model.onnx": 344_000_000, "labels.json": 412}
    assert document["latency_ratio"] == 1.004
    assert document["path"] == "shop-onnx"
