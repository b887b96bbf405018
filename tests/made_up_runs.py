"""Run folders made up for tests of reports; their figures mean nothing."""

from __future__ import annotations

import json
import math
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HEAD = 193  # weights and bias of one class
ADAPTERS = {"finetune": 2_700_000, "joint": 2_700_000, "lora": 36_864}
SECONDS = {"sdlora": 210, "lora": 190, "finetune": 305, "joint": 420}

COST = {
    "format": 1,
    "measured_on": "run",
    "rehearsal_free": True,
    "one_pass": True,
    "end_to_end": True,
    "kept_bytes": {"samples": 0, "features": 0, "statistics": 0},
    "passes": 1.0,
    "flops": 1000,
    "plain_flops": 1000,
    "prediction_seconds": 0.002,
    "plain_prediction_seconds": 0.002,
}


@dataclass
class MadeUp:
    """Writes run folders below `root` as the engine would."""

    root: Path
    stream: str = "glyphs_10"
    task_sizes: tuple[int, ...] = (10,) * 10
    backbone: str = "glyph_vit"
    sha256: str = "41bf9c1e" + "0" * 56

    def add(
        self,
        method: str,
        seed: int,
        end: float = 80,
        *,
        name: str = "",
        hits: list[list[int]] | None = None,
        manifest: dict[str, Any] | None = None,
        recipe: dict[str, Any] | None = None,
        cost: dict[str, Any] | None = None,
        confusion: list[list[int]] | None = None,
        **options: Any,
    ) -> Path:
        """Add a finished run.

        Args:
            method: Name of the method.
            seed: Seed of the run.
            end: Accuracy after the last task, percent, about.
            name: Name of the method's folder, if another.
            hits: Right answers among 100 images of each group, instead of drawing them.
            manifest: Keys that replace those of the manifest.
            recipe: Sections that replace those of the recipe.
            cost: Keys that replace those of a plain classifier's costs; without it there is no file of costs.
            confusion: Images of each class taken for each class; without it there is no file of them.
            options: Options of the method.
        """
        folder = self.root / self.stream / (name or method) / f"seed{seed}"
        folder.mkdir(parents=True)
        dice = random.Random(f"{self.stream} {name or method} {seed}")
        tables = self.recipe(method, seed, options) | (recipe or {})
        matrix = self._matrix(method, end, dice) if hits is None else _of_hundred(hits)
        rows = [self._row(method, task, dice) for task in range(len(matrix["hits"]))]
        content = self._manifest(method, seed, options, dice) | {"recipe": tables} | (manifest or {})
        (folder / "manifest.json").write_text(json.dumps(content))
        (folder / "matrix.json").write_text(json.dumps(matrix))
        (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        if cost is not None:
            (folder / "cost.json").write_text(json.dumps(COST | cost))
        if confusion is not None:
            (folder / "confusion.json").write_text(json.dumps({"format": 1, "counts": confusion}))
        text = "\n".join(_toml(name, table) for name, table in tables.items())
        (folder / "recipe.toml").write_text(text, encoding="utf-8", errors="replace")
        return folder

    def recipe(self, method: str, seed: int, options: dict[str, Any]) -> dict[str, Any]:
        """Return the resolved recipe of a run."""
        dataset, num_tasks = self.stream.rsplit("_", 1)[0], len(self.task_sizes)
        return {
            "run": {"seeds": [seed], "output_dir": f"runs/{self.stream}/{method}"},
            "stream": {"dataset": dataset, "num_tasks": num_tasks, "class_order": "seed"},
            "backbone": {"name": self.backbone},
            "method": {"name": method, **options},
            "optim": {"name": "sgd", "lr": 0.01, "epochs": 5, "batch_size": 64},
        }

    def _manifest(self, method: str, seed: int, options: dict[str, Any], dice: random.Random) -> dict[str, Any]:
        classes = [f"class {k}" for k in range(sum(self.task_sizes))]
        random.Random(seed).shuffle(classes)
        ends = [sum(self.task_sizes[: i + 1]) for i in range(len(self.task_sizes))]
        tasks = [classes[end - size : end] for end, size in zip(ends, self.task_sizes, strict=True)]
        return {
            "format": 1,
            "status": "finished",
            "sdlora": "0.1.0",
            "versions": {"python": "3.11.2", "torch": "2.15.0", "timm": None},
            "hardware": {"cpu": "made up", "cores": 2, "gpu": None},
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
            "seconds": SECONDS.get(method, 260) * dice.uniform(0.97, 1.03),
        }

    def _matrix(self, method: str, end: float, dice: random.Random) -> dict[str, Any]:
        num_tasks = len(self.task_sizes)
        images = [8 * size + 3 * (i % 3) for i, size in enumerate(self.task_sizes)]
        shift = dice.gauss(0, 0.8)

        def accuracy(i: int, j: int) -> float:
            if method == "joint":
                return end + shift + dice.gauss(0, 1)
            learned = 96 - (96 - end) * 0.35 * i / max(num_tasks - 1, 1)
            lost = (96 - end) * (1 - math.exp(-(i - j) / 3)) * (1 - 0.03 * j)
            return learned - lost + shift + dice.gauss(0, 1.2)

        lengths = [num_tasks] if method == "joint" else range(1, num_tasks + 1)
        hits = [
            [min(images[j], round(accuracy(i, j) / 100 * images[j])) if j < length else None for j in range(num_tasks)]
            for i, length in enumerate(lengths)
        ]
        totals = [[images[j] if j < length else None for j in range(num_tasks)] for length in lengths]
        return {"format": 1, "hits": hits, "totals": totals, "classes_per_task": list(self.task_sizes)}

    def _row(self, method: str, task: int, dice: random.Random) -> dict[str, Any]:
        head = HEAD * sum(self.task_sizes[: task + 1])
        stored = ADAPTERS.get(method, 36_864 * (task + 1))
        numbers: dict[str, Any] = {}
        if method == "sdlora":
            falls = [0.38 * (1 - math.exp(-k / 1.5)) for k in range(task + 1)]
            numbers["magnitudes"] = [1.25 - 0.03 * task - fall + dice.gauss(0, 0.01) for fall in falls]
            numbers["residuals"] = [0.8 + 0.2 / (1 + task) for _ in range(4)]
            numbers["ranks"] = [10.0] * (task + 1)
        return {
            "event": "task",
            "task": task,
            "accuracy": [],
            "seconds": 20.0,
            "trained_parameters": ADAPTERS.get(method, 36_864) + HEAD * self.task_sizes[task],
            "stored_parameters": stored + head,
            "method": numbers,
        }


def _of_hundred(hits: list[list[int]]) -> dict[str, Any]:
    return {"format": 1, "hits": hits, "totals": [[100] * len(row) for row in hits]}


def _toml(name: str, table: dict[str, Any]) -> str:
    return f"[{name}]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())
