"""The cost of a whole run of many tasks: SD-LoRA, the same with the per-direction loop, and sequential LoRA.

    python -m benchmarks.run_cost --svg curve.svg

Every run has a process of its own, so that its peak of resident memory is its own. The curve is the median step of each
task; a step that costs more the more tasks there are climbs.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, ClassVar

import torch
from matplotlib.figure import Figure
from torch import Tensor

from benchmarks.measure import CLOCKS
from benchmarks.per_direction import InActivations
from benchmarks.subjects import random_backbone
from sdlora.adapters import adapters_of
from sdlora.adapters.inject import replace_
from sdlora.backbones.vit import Backbone
from sdlora.datasets.synthetic import synthetic
from sdlora.engine import FitOptions, Observer, OptimOptions, StepReport, fit
from sdlora.files import write_atomic, write_json
from sdlora.methods import METHODS, Facts, Method, ParamGroup
from sdlora.streams import make_stream
from sdlora.task import Task, TaskData

NAMES = {"sdlora": "SD-LoRA", "loop": "the same, direction by direction", "lora": "sequential LoRA"}
CLASSES = 2  # in a task


@dataclass(frozen=True)
class Row:
    """What one run cost.

    Attributes:
        method: Its name.
        seconds: Of the whole run, by the wall clock.
        processor_seconds: What the processor spent on it, all threads.
        peak_bytes: Largest resident memory of its process, PyTorch itself included.
        step_seconds: Median step of each task.
    """

    method: str
    seconds: float
    processor_seconds: float
    peak_bytes: int
    step_seconds: list[float]


class Stopwatch(Observer):
    """Times every step but the first of an epoch.

    Args:
        clock: ``"wall"`` or ``"processor"``.
    """

    def __init__(self, clock: str) -> None:
        self.read, self.last = CLOCKS[clock], 0.0
        self.steps: dict[int, list[float]] = {}

    def on_step(self, report: StepReport) -> None:
        now = self.read()
        if report.step > 1:
            self.steps.setdefault(report.task, []).append(now - self.last)
        self.last = self.read()


class PerDirection(Method):
    """SD-LoRA of the preset ``"released"`` in activation space, as `benchmarks.per_direction` computes it."""

    facts: ClassVar[Facts] = METHODS.get("sdlora").facts
    mergeable: ClassVar[bool] = False

    def __init__(self, backbone: Backbone, **options: Any) -> None:
        super().__init__(backbone)
        inner = METHODS.get("sdlora")(backbone, **options)
        self._inner = (inner,)  # in a tuple it is no submodule; its parts are
        self.adapters, self.head = inner.adapters, inner.head
        self._folded = list(adapters_of(backbone).values())
        self._loops: list[InActivations] = []

    def begin_task(self, task: Task) -> None:
        replace_(self.backbone, dict(zip(self._loops, self._folded, strict=False)))
        self._inner[0].begin_task(task)
        self._loops = [InActivations(adapter, stacked=False) for adapter in self._folded]  # type: ignore[arg-type]
        replace_(self.backbone, dict(zip(self._folded, self._loops, strict=True)))

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        return self._inner[0].losses(images, labels)

    def param_groups(self) -> list[ParamGroup]:
        return self._inner[0].param_groups()

    def end_task(self, data: TaskData) -> None:
        self._inner[0].end_task(data)

    def forward(self, images: Tensor) -> Tensor:
        return self._inner[0](images)  # type: ignore[no-any-return]


def run(name: str, arguments: argparse.Namespace) -> Row:
    """Teach one method the whole stream, in this process."""
    torch.set_num_threads(arguments.threads)
    backbone = random_backbone(arguments.model, None)
    dataset = synthetic(
        None,
        backbone.image_size,
        num_classes=CLASSES * arguments.tasks,
        train_images=arguments.images,
        test_images=arguments.images // 4,
    )
    stream = make_stream(dataset, num_tasks=arguments.tasks, class_order="given")
    options = FitOptions(
        seed=0,
        epochs=arguments.epochs,
        batch_size=arguments.batch,
        optim=OptimOptions(lr=1e-3, momentum=0.9),
        device=arguments.device,
    )
    watch, kind = Stopwatch(arguments.clock), PerDirection if name == "loop" else METHODS.get(name)
    with tempfile.TemporaryDirectory() as folder:
        start, spent = time.perf_counter(), time.process_time()
        fit(
            lambda: kind(random_backbone(arguments.model, None), rank=arguments.rank),  # type: ignore[call-arg]
            stream,
            options,
            Path(folder) / "run",
            recipe={"method": {"name": name}},
            observer=watch,
        )
        seconds, processor_seconds = time.perf_counter() - start, time.process_time() - spent
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    medians = [statistics.median(watch.steps[task]) for task in sorted(watch.steps)]
    return Row(name, seconds, processor_seconds, peak, medians)


def table(rows: Sequence[Row], clock: str) -> list[str]:
    """Return the printed lines."""
    numbers = [1, *range(5, len(rows[0].step_seconds) + 1, 5)]
    lines = [
        f"{'method':34} {'seconds':>8} {'processor':>9} {'peak MiB':>8}   milliseconds a step ({clock} time) at task "
        + " ".join(f"{number:>6}" for number in numbers)
    ]
    indent = len(lines[0]) - 7 * len(numbers)
    for row in rows:
        left = f"{NAMES[row.method]:34} {row.seconds:8.1f} {row.processor_seconds:9.1f} {row.peak_bytes / 2**20:8.0f}"
        steps = "".join(f"{1000 * row.step_seconds[number - 1]:7.1f}" for number in numbers)
        lines.append(f"{left:{indent}}{steps}")
    return lines


def curve(rows: Sequence[Row], clock: str) -> bytes:
    """Draw the median step of each task as SVG."""
    figure = Figure(figsize=(6, 3.4), layout="constrained")
    axes = figure.subplots()
    for row in rows:
        axes.plot(range(1, len(row.step_seconds) + 1), [1000 * s for s in row.step_seconds], label=NAMES[row.method])
    axes.set(xlabel="task", ylabel=f"milliseconds a step ({clock} time)", ylim=(0, None))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    with tempfile.TemporaryDirectory() as folder:
        picture = Path(folder) / "curve.svg"
        figure.savefig(picture, metadata={"Date": None})
        return picture.read_bytes()


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run_cost", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="glyph_vit", help="glyph_vit, or a timm name (random weights)")
    parser.add_argument("--tasks", type=int, default=20)
    parser.add_argument("--images", type=int, default=160, help="to learn from, a class")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rank", type=int, default=10)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="of a CPU")
    parser.add_argument("--clock", choices=CLOCKS, default="wall", help="of the steps; processor: for one thread")
    parser.add_argument("--svg", type=Path, help="where the curve goes")
    parser.add_argument("--json", type=Path, help="where the rows go as JSON")
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Run the three, print the table, draw the curve."""
    arguments = parse(sys.argv[1:] if words is None else words)
    rows = []
    for name in NAMES:
        with get_context("spawn").Pool(1) as process:
            rows.append(process.apply(run, (name, arguments)))
    print("\n".join(table(rows, arguments.clock)))
    if arguments.svg:
        write_atomic(arguments.svg, curve(rows, arguments.clock))
    if arguments.json:
        write_json(arguments.json, [asdict(row) for row in rows])


if __name__ == "__main__":
    main()
