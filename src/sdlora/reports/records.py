"""What the files of a run folder must say for a report; the engine writes them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt


class Record(BaseModel):
    """Part of a file; keys not named here are not for reports."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True)


class BackboneRecord(Record):
    """Which weights a run started from."""

    name: str
    sha256: str | None = None


class StreamRecord(Record):
    """Which classes arrived in which order, and in which tasks."""

    name: str
    digest: str
    classes: list[str]
    tasks: list[list[str]] = Field(min_length=1)


class MethodRecord(Record):
    """Which method, with what arguments."""

    name: str
    options: dict[str, Any] = {}


class Manifest(Record):
    """``manifest.json``; times are ISO texts, ``seconds`` is time spent in all sessions."""

    format: Literal[1]
    status: Literal["running", "finished", "stopped"]
    sdlora: str | None = None
    versions: dict[str, Any] = {}
    hardware: dict[str, Any] = {}
    device: str | None = None
    dtype: str | None = None
    backbone: BackboneRecord
    stream: StreamRecord
    method: MethodRecord
    recipe: dict[str, Any] = {}
    seed: int
    finished: str | None = None
    seconds: float | None = None


class TaskRow(Record):
    """A line of ``metrics.jsonl`` with ``"event": "task"``; null stands for a number that is not finite."""

    task: int
    trained_parameters: int | None = None
    stored_parameters: int | None = None
    method: dict[str, float | list[float | None] | None] = {}


class CostFile(Record):
    """``cost.json``: what `sdlora.costs` measured; times are seconds."""

    format: Literal[1]
    measured_on: Literal["run", "made-up pictures"]
    rehearsal_free: bool
    one_pass: bool
    end_to_end: bool
    kept_bytes: dict[str, int]
    passes: float
    flops: int = Field(gt=0)
    plain_flops: int = Field(gt=0)
    prediction_seconds: float = Field(gt=0)
    plain_prediction_seconds: float = Field(gt=0)


class ConfusionFile(Record):
    """``confusion.json``: test images of each class (row) taken for each class (column), after the last task."""

    format: Literal[1]
    counts: list[list[NonNegativeInt]]


class HeadsFile(Record):
    """``heads.json``: test images of each group that each head classifies correctly after the last task."""

    format: Literal[1]
    hits: dict[str, list[NonNegativeInt]]
    totals: list[PositiveInt]


class MatrixFile(Record):
    """``matrix.json``."""

    format: Literal[1]
    hits: list[list[int | None]]
    totals: list[list[int | None]]
