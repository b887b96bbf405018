"""Seconds and bytes of a function, on a CPU and on a GPU."""

from __future__ import annotations

import gc
import json
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch.profiler import ProfilerActivity, profile

Run = Callable[[], object]


Clock = Callable[[], float]
"""Gives seconds from some start."""

CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "processor": time.process_time}
"""What the processor spent, other work on the machine does not lengthen."""


def seconds(run: Run, device: torch.device, clock: Clock = time.perf_counter) -> float:
    """Return how long `run` takes by `clock`, seconds; on CUDA between two events on the device."""
    if device.type != "cuda":
        start = clock()
        run()
        return clock() - start
    begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    begin.record()
    run()
    end.record()
    torch.cuda.synchronize(device)
    return float(begin.elapsed_time(end)) / 1000


def alternate(
    runs: Mapping[str, Run], device: torch.device, rounds: int, clock: Clock = time.perf_counter
) -> dict[str, list[float]]:
    """Time each of `runs` once a round, after a round that does not count; what slows a machine down slows all.

    Args:
        runs: What to time, by name.
        device: Where it runs.
        rounds: How often.
        clock: By which.

    Returns:
        Seconds of each round, by name.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    for index in range(rounds + 1):
        for name, run in runs.items():
            found = seconds(run, device, clock)
            if index:
                times[name].append(found)
    return times


def peak_bytes(run: Run, device: torch.device) -> int:
    """Return the largest sum of bytes that `run` holds at any moment of what it allocates.

    On CUDA that is what PyTorch's allocator counts. On a CPU the profiler reports every allocation and every release
    of PyTorch's allocator with its running total; scratch space inside a kernel's library is not seen.
    """
    gc.collect()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device)) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiled:
        run()
    with tempfile.TemporaryDirectory() as folder:
        trace = Path(folder) / "trace.json"
        profiled.export_chrome_trace(str(trace))
        events = json.loads(trace.read_bytes())["traceEvents"]
    totals = [event["args"]["Total Allocated"] for event in events if event.get("name") == "[memory]"]
    return max(totals, default=0)
