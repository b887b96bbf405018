"""Where the time of one adapted layer goes: a fused projection whose query and value rows are adapted.

    python -m benchmarks.layer_parts

Each part is timed by itself, in turn; medians of processor time in one thread, milliseconds.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence

import torch
from torch import nn

from benchmarks.measure import CLOCKS, Run, alternate
from sdlora.adapters import PRESETS, RankSchedule, SDLoRAAdapters, SDLoRALinear, adapters_of, fold

TYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
SLICES = 2


def parts(width: int, num_x: int, tasks: int, rank: int, dtype: torch.dtype) -> dict[str, Run]:
    """Return what is timed, by name.

    Args:
        width: d.
        num_x: n.
        tasks: T.
        rank: r.
        dtype: Type of the products; bfloat16 as under autocast.
    """
    adapter, plain = adapted(width, tasks, rank), nn.Linear(width, 3 * width).requires_grad_(False)
    x = torch.randn(num_x, width, requires_grad=True)
    G, low_x = torch.randn(num_x, 3 * width).to(dtype), x.detach().to(dtype)
    one, factors = G[:, :width], adapter.factors()
    A = torch.randn(rank * tasks, width).to(dtype)
    B, H = A.T.contiguous(), torch.randn(width, width).to(dtype)

    def step(layer: nn.Module) -> None:
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            y = layer(x)
        y.backward(G)

    return {
        "plain layer, forward and gradient of x": lambda: step(plain),
        "adapted layer, the same and all gradients": lambda: step(adapter),
        "  of it: fold": lambda: fold(adapter.base.weight, factors, dtype),
        "  thin products A x', B' G'": lambda: twice(lambda: (A @ low_x.T, B.T @ one.T)),
        "  or dense H = G' x": lambda: twice(lambda: one.T @ low_x),
        "     and B' H": lambda: twice(lambda: B.T @ H),
    }


def adapted(width: int, tasks: int, rank: int) -> SDLoRALinear:
    """Return a fused projection at its `tasks`-th task."""
    model = nn.ModuleDict({"qkv": nn.Linear(width, 3 * width)})
    adapters = SDLoRAAdapters(model, ["qkv:q", "qkv:v"], preset=PRESETS.get("released"), ranks=RankSchedule.of(rank))
    for task in range(tasks):
        adapters.begin_task(task)
        for part in adapters.directions:
            nn.init.normal_(part.lora_B, std=0.02)
    adapter = adapters_of(model)["qkv"]
    assert isinstance(adapter, SDLoRALinear)
    return adapter


def twice(run: Run) -> None:
    """Run for both slices."""
    for _ in range(SLICES):
        run()


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.layer_parts", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--tokens", type=int, default=16 * 197, help="in the batch")
    parser.add_argument("--rank", type=int, default=10)
    parser.add_argument("--tasks", type=int, nargs="+", default=[1, 20, 100])
    parser.add_argument("--rounds", type=int, default=9)
    return parser.parse_args(words)


def main(words: Sequence[str] | None = None) -> None:
    """Print a table for each type."""
    arguments = parse(sys.argv[1:] if words is None else words)
    torch.set_num_threads(1)
    for name, dtype in TYPES.items():
        columns = []
        for tasks in arguments.tasks:
            runs = parts(arguments.width, arguments.tokens, tasks, arguments.rank, dtype)
            times = alternate(runs, torch.device("cpu"), arguments.rounds, CLOCKS["processor"])
            columns.append({part: 1000 * statistics.median(own) for part, own in times.items()})
        print(f"{name + ', milliseconds at task':42}" + "".join(f"{tasks:8}" for tasks in arguments.tasks))
        for part in columns[0]:
            print(f"{part:42}" + "".join(f"{column[part]:8.1f}" for column in columns), flush=True)


if __name__ == "__main__":
    main()
