"""Rows of the metric log, from known counts."""

from __future__ import annotations

import json

import torch

from sdlora.engine.progress import Progress
from sdlora.engine.rows import end_row, epoch_row, task_row


def test_an_epoch_is_a_mean_over_images_not_over_batches():
    at = Progress(task=1, phase="train", epoch=2)
    at.add({"fit": torch.tensor(1.0), "penalty": torch.tensor(0.25)}, 6)
    at.add({"fit": torch.tensor(4.0), "penalty": torch.tensor(0.25)}, 2)
    row = epoch_row(at, lr=0.1)
    assert row.pop("seconds") >= 0
    assert row == {
        "event": "epoch",
        "task": 1,
        "epoch": 2,
        "step": 6,
        "loss": 2.0,
        "terms": {"fit": 1.75, "penalty": 0.25},
        "lr": 0.1,
        "images": 8,
    }


def test_a_task_tells_fractions_and_sizes():
    at = Progress(task=1, trained_parameters=5, hits=[[9, None], [3, 0]], totals=[[9, None], [4, 0]])
    at.totals[-1][1] = 2
    row = task_row(at, stored_parameters=11, report={"magnitudes": [1.0, float("nan")], "rank": float("inf")})
    assert row["accuracy"] == [0.75, 0.0]
    assert (row["trained_parameters"], row["stored_parameters"]) == (5, 11)
    assert row["method"] == {"magnitudes": [1.0, None], "rank": None}
    json.dumps(row, allow_nan=False)
    at = Progress(hits=[[1, None]], totals=[[2, None]])
    assert task_row(at, stored_parameters=0, report={})["accuracy"] == [0.5, None]


def test_the_end():
    row = end_row(Progress(task=3))
    assert (row["event"], row["tasks"]) == ("end", 3)
    assert row["seconds"] >= 0
