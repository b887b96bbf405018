"""A run of a second: a tiny untrained backbone learns stripes in two tasks; and what counts as its bits."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from sdlora.backbones.vit import load_backbone
from sdlora.datasets.synthetic import synthetic
from sdlora.engine import FitOptions, Observer, OptimOptions, RunResult, StepReport, fit
from sdlora.engine.checkpoint import Checkpoints
from sdlora.engine.metric_log import read_rows
from sdlora.methods import METHODS, Method
from sdlora.streams import Stream, make_stream

IMAGE_SIZE = 16  # what the untrained backbone takes, pixels
STEPS = 3  # of an epoch, the last of them smaller


@dataclass(frozen=True)
class Case:
    """What there is to choose about a run.

    Two tasks of two classes with 8 images each, in steps of 6: three a pass.
    """

    method: str = "sdlora"
    method_options: dict[str, Any] = field(default_factory=dict)
    seed: int = 0
    class_order: str | int = "given"
    data_seed: int = 0
    backbone_seed: int = 0
    epochs: int = 2
    batch_size: int = 6
    optim: str = "adamw"
    lr: float = 5e-3
    schedule: str = "cosine"
    precision: str = "float32"
    checkpoint_seconds: float = 0.0
    output_dir: str = "runs"

    def make_method(self) -> Method:
        backbone = load_backbone("untrained_vit", seed=self.backbone_seed)
        return METHODS.get(self.method)(backbone, **self.method_options)

    def stream(self) -> Stream:
        return small_stream(self.data_seed, self.class_order)

    def options(self) -> FitOptions:
        optim = OptimOptions(name=self.optim, lr=self.lr, schedule=self.schedule, clip_norm=1.0, weight_decay=0.01)
        return FitOptions(
            seed=self.seed,
            epochs=self.epochs,
            batch_size=self.batch_size,
            optim=optim,
            device="cpu",
            precision=self.precision,
            checkpoint_seconds=self.checkpoint_seconds,
        )

    def recipe(self) -> dict[str, Any]:
        return {
            "run": {
                "seeds": [self.seed],
                "output_dir": self.output_dir,
                "precision": self.precision,
                "checkpoint_seconds": self.checkpoint_seconds,
            },
            "stream": {"dataset": "synthetic", "class_order": self.class_order},
            "backbone": {"name": "untrained_vit"},
            "method": {"name": self.method, **self.method_options},
            "optim": {
                "name": self.optim,
                "lr": self.lr,
                "schedule": self.schedule,
                "epochs": self.epochs,
                "batch_size": self.batch_size,
            },
        }


@cache
def small_stream(data_seed: int = 0, class_order: str | int = "given") -> Stream:
    dataset = synthetic(None, IMAGE_SIZE, num_classes=4, train_images=8, test_images=4, seed=data_seed)
    return make_stream(dataset, num_tasks=2, class_order=class_order)


def train(
    folder: Path,
    case: Case = Case(),
    observer: Observer | None = None,
    make_method: Callable[[], Method] | None = None,
) -> RunResult:
    return fit(
        make_method or case.make_method,
        case.stream(),
        case.options(),
        folder,
        recipe=case.recipe(),
        recipe_text=f"# {case.method}\n",
        observer=observer,
    )


def bits(folder: Path) -> dict[str, Any]:
    """Return all that must be equal between two runs: weights, optimiser, sums, place, matrix, rows without times."""
    checkpoint, problems = Checkpoints(folder / "checkpoint").newest()
    assert checkpoint is not None
    assert not problems
    progress = {key: value for key, value in checkpoint.state["progress"].items() if key != "seconds"}
    tensors = {
        name: (str(value.dtype), tuple(value.shape), hashlib.sha256(value.view(-1).numpy().tobytes()).hexdigest())
        for name, value in checkpoint.tensors.items()
    }
    matrix, recipe = folder / "matrix.json", folder / "recipe.toml"
    return {
        "progress": progress,
        "tensors": tensors,
        "matrix": matrix.read_text() if matrix.exists() else None,
        "rows": [without_times(row) for row in read_rows(folder / "metrics.jsonl")],
        "recipe": recipe.read_text() if recipe.exists() else None,
    }


def without_times(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if not key.endswith("seconds")}


def tree(folder: Path) -> dict[str, str]:
    """Return the sha256 of every file, by path."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def leftovers(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.name.endswith(".partial")]


def manifest(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "manifest.json").read_text())


class Warnings(Observer):
    def __init__(self) -> None:
        self.messages: list[str] = []

    def on_warning(self, message: str) -> None:
        self.messages.append(message)


class StopAfter(Observer):
    """Ends a run like a kill would, but in this process."""

    def __init__(self, steps: int) -> None:
        self.left = steps

    def on_step(self, report: StepReport) -> None:
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def interrupted(folder: Path, case: Case = Case(), steps: int = 2 * STEPS + 1) -> Path:
    """Train so many steps, by default one into the second task, and leave the folder as a kill would."""
    with pytest.raises(KeyboardInterrupt):
        train(folder, case, StopAfter(steps))
    return folder
