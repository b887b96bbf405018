"""Run folders made up for tests; their figures mean nothing."""

import json
import math
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest


@dataclass
class MadeUp:
    """Writes run folders under `root` as the engine would."""

    root: Path
    stream: str = "glyphs_10"
    task_sizes: tuple[int, ...] = (10,) * 10
    backbone: str = "glyph_vit"
    sha256: str = "41bf9c1e" + "0" * 56
    changes: dict[str, Any] = field(default_factory=dict)

    def add(self, method: str, seed: int, end: float, *, name: str = "", hits=None, **options) -> Path:
        """Add a finished run whose accuracy falls from 96 % to about `end` percent.

        Args:
            method: Its name in the registry.
            seed: Seed of the run.
            end: Accuracy after the last task, percent.
            name: Folder of the method, if another.
            hits: Rows of hits among 100 images instead.
            options: ``manifest={...}`` overrides keys there; the others are options of the method.
        """
        manifest_changes = options.pop("manifest", {})
        folder = self.root / self.stream / (name or method) / f"seed{seed}"
        folder.mkdir(parents=True)
        dice = random.Random(f"{self.stream} {name or method} {seed}")
        matrix = self._matrix(method, end, dice) if hits is None else _of_hundred(hits)
        self._write(folder, "manifest.json", self._manifest(method, seed, options, dice) | {"recipe": self.recipe(method, seed, options)} | manifest_changes)
        self._write(folder, "matrix.json", matrix)
        rows = [self._row(method, task, dice, seed) for task in range(len(matrix["hits"]))]
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        tables = self.recipe(method, seed, options)
        lines = [f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items()) for name, table in tables.items()]
        (folder / "recipe.toml").write_text("\n".join(lines))
        return folder

    def recipe(self, method: str, seed: int, options: dict) -> dict:
        dataset = self.stream.rsplit("_", 1)[0]
        return {
            "run": {"seeds": [seed], "output_dir": f"{self.stream}/{method}"},
            "stream": {"dataset": dataset, "num_tasks": len(self.task_sizes), "class_order": "seed"},
            "backbone": {"name": self.backbone},
            "method": {"name": method, **options},
            "optim": {"name": "sgd", "lr": 0.01, "epochs": 5, "batch_size": 64},
        }

    def _write(self, folder: Path, name: str, content: dict) -> None:
        (folder / name).write_text(json.dumps(content))

    def _manifest(self, method: str, seed: int, options: dict, dice: random.Random) -> dict:
        classes = [f"class {k}" for k in range(sum(self.task_sizes))]
        random.Random(seed).shuffle(classes)
        starts = [sum(self.task_sizes[:i]) for i in range(len(self.task_sizes))]
        tasks = [classes[start : start + size] for start, size in zip(starts, self.task_sizes, strict=True)]
        return {
            "format": 1,
            "status": "finished",
            "sdlora": "0.1.0",
            "versions": {"python": "3.11.2", "torch": "2.15.0", "timm": "1.0.31"},
            "hardware": {"cpu": "x86_64, 2 cores"},
            "git": None,
            "device": "cpu",
            "dtype": "float32",
            "threads": 1,
            "backbone": {"name": self.backbone, "sha256": self.sha256},
            "stream": {"name": self.stream, "digest": f"{seed:064x}", "classes": classes, "tasks": tasks},
            "method": {"name": method, "options": options},
            "seed": seed,
            "started": "2026-10-11T08:00:00+00:00",
            "finished": "2026-10-11T08:09:00+00:00",
            "seconds": {"sdlora": 210, "lora": 190, "finetune": 305, "joint": 420}.get(method, 260) * dice.uniform(0.97, 1.03),
        } | self.changes

    def _matrix(self, method: str, end: float, dice: random.Random) -> dict:
        num_tasks = len(self.task_sizes)
        images = [8 * size + 3 * (i % 3) for i, size in enumerate(self.task_sizes)]
        shift = dice.gauss(0, 0.8)

        def accuracy(i: int, j: int) -> float:
            learned = 96 - (96 - end) * 0.35 * i / max(num_tasks - 1, 1)
            kept = 1 - math.exp(-(i - j) / 3)
            return learned - (96 - end) * 1.0 * kept * (1 - 0.03 * j) + shift + dice.gauss(0, 1.2)

        def hits(i: int, j: int) -> int:
            value = end + shift + dice.gauss(0, 1) if method == "joint" else accuracy(i, j)
            return min(images[j], max(0, round(value / 100 * images[j])))

        lengths = [num_tasks] if method == "joint" else range(1, num_tasks + 1)
        rows = [[hits(i, j) if j < length else None for j in range(num_tasks)] for i, length in enumerate(lengths)]
        totals = [[image if value is not None else None for image, value in zip(images, row, strict=True)] for row in rows]
        return {"format": 1, "hits": rows, "totals": totals, "classes_per_task": list(self.task_sizes)}

    def _row(self, method: str, task: int, dice: random.Random, seed: int) -> dict:
        adapters = {"sdlora": 36_864 * (task + 1), "lora": 36_864, "finetune": 2_700_000, "joint": 2_700_000}.get(method, 50_000)
        numbers = {}
        if method == "sdlora":
            numbers["magnitudes"] = [1.25 - 0.03 * task - 0.38 * (1 - math.exp(-k / 1.5)) + dice.gauss(0, 0.02) for k in range(task + 1)]
            numbers["residuals"] = [min(1.0, 0.8 + 0.2 / (1 + task) + dice.gauss(0, 0.01)) for _ in range(4)]
            numbers["ranks"] = [10.0] * (task + 1)
        return {
            "event": "task",
            "task": task,
            "accuracy": [],
            "seconds": 20.0,
            "trained_parameters": min(adapters, 36_864) + 193 * 10 * (task + 1) if method != "finetune" else adapters,
            "stored_parameters": adapters + 193 * 10 * (task + 1),
            "method": numbers,
        }


def _of_hundred(hits: list[list[int]]) -> dict:
    return {"format": 1, "hits": hits, "totals": [[100] * len(row) for row in hits]}


@pytest.fixture
def made_up(tmp_path) -> MadeUp:
    return MadeUp(tmp_path / "runs")


@pytest.fixture
def full(tmp_path) -> Path:
    """Three methods and joint training, five seeds, ten tasks."""
    made = MadeUp(tmp_path / "runs")
    for seed in range(5):
        for method, end in (("sdlora", 77), ("lora", 58), ("finetune", 41), ("joint", 90)):
            made.add(method, seed, end)
    return made.root
