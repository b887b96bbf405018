"""The cost of a training step against the floor: the frozen backbone with gradients down to its first projection.

    python -m benchmarks.step_cost
    python -m benchmarks.step_cost --methods sdlora,peft --tasks 1,20 --dtype bf16 --json rows.json

Everything is timed in one process, in turn, round after round; a row shows the medians over the rounds, and the lowest
and the highest ratio. A ratio is taken within its round. Weights are random: they do not matter to the cost.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "9")  # the profiler that counts bytes is silent

import torch
from accelerate import Accelerator

from benchmarks.measure import CLOCKS, alternate, peak_bytes
from benchmarks.subjects import CLASSES, FLOOR, Subject, build, random_backbone, subjects, task
from sdlora.engine.device import open_accelerator
from sdlora.engine.options import FitOptions, OptimOptions
from sdlora.engine.trainer import Trainer
from sdlora.files import write_json
from sdlora.methods import METHODS, Method

KNOWN = ("sdlora", "loop", "stacked", "peft", *(name for name in METHODS if name != "sdlora"))


@dataclass(frozen=True, kw_only=True)
class Row:
    """What one subject's step costs.

    Attributes:
        method: Its name.
        tasks: The task it is at, from 1; 0 for the floor.
        dtype: ``"float32"`` or ``"bf16"``.
        batch: Images in the step.
        seconds: Median over the rounds.
        ratio_to_floor: Median over the rounds.
        lowest_ratio: Of all rounds.
        highest_ratio: Of all rounds.
        images_per_second: batch / seconds.
        peak_bytes: Weights, buffers and state of the optimiser, and the most that a step holds besides them.
        model: The backbone.
        image_size: Side of an image, pixels.
        device: Where.
        threads: Of the CPU.
        clock: ``"wall"`` or ``"processor"``.
    """

    method: str
    tasks: int
    dtype: str
    batch: int
    seconds: float
    ratio_to_floor: float
    lowest_ratio: float
    highest_ratio: float
    images_per_second: float
    peak_bytes: int
    model: str
    image_size: int
    device: str
    threads: int
    clock: str


class Step:
    """The training step of one subject, taken as the engine takes it.

    Args:
        method: Has begun its tasks.
        number: The task, from 1.
        images: (N, 3, H, W) in 0..1.
        options: How to train.
        accelerator: Gives device and precision.
    """

    def __init__(
        self, method: Method, number: int, images: torch.Tensor, options: FitOptions, accelerator: Accelerator
    ) -> None:
        self.method = method.to(images.device).train()
        self.images = images
        this = task(number)
        self.labels = this.class_offset + torch.arange(len(images), device=images.device) % CLASSES
        groups = method.param_groups()
        self.trains = any(group["params"] for group in groups)
        if self.trains:
            self.trainer = Trainer(method, this, groups, options, accelerator, 1, 1)

    def __call__(self) -> None:
        self.trainer.step(self.images, self.labels, 0, 0)

    def stored_bytes(self) -> int:
        """Return the bytes that stay between two steps."""
        tensors = [*self.method.parameters(), *self.method.buffers(), *self.trainer.state().values()]
        return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def measure(chosen: Sequence[Subject], dtype: str, arguments: argparse.Namespace) -> list[Row]:
    """Time all subjects in turn."""
    options = FitOptions(
        seed=0,
        epochs=1,
        batch_size=arguments.batch,
        optim=OptimOptions(lr=1e-4, momentum=0.9),
        device=arguments.device,
        precision="bf16" if dtype == "bf16" else "float32",
    )
    with open_accelerator(options) as accelerator:
        device = accelerator.device
        backbone = random_backbone(arguments.model, arguments.image_size).to(device)
        side = backbone.image_size
        images = torch.rand(arguments.batch, 3, side, side, device=device)
        steps: dict[Subject, Step] = {}
        for subject in chosen:
            step = Step(build(subject, backbone), max(1, subject.tasks), images, options, accelerator)
            if arguments.compiled:
                step.method.backbone.compile()
            if step.trains:
                steps[subject] = step
            else:
                print(f"{subject.method} trains nothing by steps at task {subject.tasks}")
        times = alternate(
            {str(k): step for k, step in enumerate(steps.values())}, device, arguments.rounds, CLOCKS[arguments.clock]
        )
        floor = times["0"]
        rows = []
        for (subject, step), own in zip(steps.items(), times.values(), strict=True):
            ratios = [a / b for a, b in zip(own, floor, strict=True)]
            median = statistics.median(own)
            rows.append(
                Row(
                    method=subject.method,
                    tasks=subject.tasks,
                    dtype=dtype,
                    batch=len(images),
                    seconds=median,
                    ratio_to_floor=statistics.median(ratios),
                    lowest_ratio=min(ratios),
                    highest_ratio=max(ratios),
                    images_per_second=len(images) / median,
                    peak_bytes=step.stored_bytes() + peak_bytes(step, device),
                    model=backbone.name,
                    image_size=side,
                    device=torch.cuda.get_device_name(device) if device.type == "cuda" else device.type,
                    threads=torch.get_num_threads(),
                    clock=arguments.clock,
                )
            )
    return rows


def table(rows: Sequence[Row]) -> list[str]:
    """Return the printed lines of rows of one dtype."""
    first = rows[0]
    threads = f", {first.threads} thread{'s' * (first.threads > 1)}" if first.device == "cpu" else ""
    lines = [
        f"{first.model}, {first.image_size} x {first.image_size} pixels, batch {first.batch}, {first.dtype}, "
        f"{first.device}{threads}, {first.clock} time",
        f"{'method':12} {'task':>4} {'seconds':>8} {'ratio':>6} {'lowest':>7} {'highest':>7} {'images/s':>9} "
        f"{'MiB':>7}",
    ]
    for row in rows:
        number = "" if row.method == FLOOR else str(row.tasks)
        lines.append(
            f"{row.method:12} {number:>4} {row.seconds:8.3f} {row.ratio_to_floor:6.3f} {row.lowest_ratio:7.3f} "
            f"{row.highest_ratio:7.3f} {row.images_per_second:9.1f} {row.peak_bytes / 2**20:7.0f}"
        )
    return lines


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step_cost", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--model", default="vit_base_patch16_224", help="a timm name, or glyph_vit")
    parser.add_argument("--image-size", type=int, help="pixels; default: the model's own")
    parser.add_argument("--batch", type=int, default=16, help="images in a step")
    parser.add_argument("--dtype", default="float32,bf16", type=_names(("float32", "bf16")))
    parser.add_argument("--tasks", default="1,5,20,60,100", type=_numbers, help="where SD-LoRA is timed")
    parser.add_argument("--rank", type=int, default=10)
    parser.add_argument("--methods", default=",".join(KNOWN), type=_names(KNOWN), help="default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--threads", type=int, help="of a CPU")
    parser.add_argument(
        "--clock",
        choices=CLOCKS,
        default="wall",
        help="processor: time the processor spent, undisturbed by other work; for one thread",
    )
    parser.add_argument("--compiled", action="store_true", help="compile every backbone first")
    parser.add_argument("--json", type=Path, help="where the rows go as JSON")
    return parser.parse_args(words)


def _names(known: Sequence[str]) -> Callable[[str], list[str]]:
    def read(text: str) -> list[str]:
        names = text.split(",")
        if unknown := [name for name in names if name not in known]:
            raise argparse.ArgumentTypeError(f"{', '.join(unknown)}: expected {', '.join(known)}")
        return names

    return read


def _numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def main(words: Sequence[str] | None = None) -> None:
    """Print a table for each dtype, and write the rows."""
    arguments = parse(sys.argv[1:] if words is None else words)
    if arguments.clock == "processor":
        arguments.threads = 1  # several threads wait for each other and are charged for it
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    chosen = subjects(arguments.methods, arguments.tasks, arguments.rank)
    rows: list[Row] = []
    for dtype in arguments.dtype:
        found = measure(chosen, dtype, arguments)
        rows += found
        print("\n".join(table(found)), flush=True)
    if not torch.cuda.is_available():
        print("No GPU is available here: nothing above says anything about one.")
    if arguments.json:
        write_json(arguments.json, [asdict(row) for row in rows])


if __name__ == "__main__":
    main()
