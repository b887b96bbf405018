"""The server under load, against its own model without a server. Needs Linux, which says what each thread cost.

    python -m benchmarks.serve_load [--seconds 60] [--clients 64] [--images 1] [--model small|shipped] [--side 256]

Runs the server of ``sdlora serve`` in a process, lets many clients on this machine ask for one prediction after another
over connections of their own, and prints what became of them beside what the model alone does at the same batch size,
before and after, in a process of its own, with as many threads. Clients, server and decoding share the processor: the
share of the model's speed that is left, and what each of them cost a picture, are the result. Weights of the small
model are random, which costs the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.load_client import Outcome, load, make_request
from sdlora import Learner
from sdlora.backbones.vit import Backbone, shipped, untrained_vit
from sdlora.server.guard import Guard
from sdlora.server.limits import Limits
from sdlora.server.running import Runner, listen
from sdlora.server.served import ServedModel
from sdlora.server.service import Service

BATCH = 32
ALONE_SECONDS = 10.0
WARM_SECONDS = 5.0
NUM_REQUESTS = 200
TICK = os.sysconf("SC_CLK_TCK")  # to a second
COUNTED = re.compile(r"^(sdlora_(?:batch|forward)_\w+_(?:sum|count)) (\S+)", re.MULTILINE)

Figures = dict[str, float]
"""Counts of the server, and processor seconds of each part."""


@dataclass(frozen=True)
class Alone:
    """The model without a server.

    Attributes:
        rate: Pictures a second.
        cost: Processor seconds a picture.
    """

    rate: float
    cost: float


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    if options.part == "alone":
        alone = _alone(_learner(options.model))
        print(alone.rate, alone.cost)
    elif options.part == "serve":
        _serve(_learner(options.model), options)
    else:
        before = _measure_alone(options)
        outcome, figures = _measure_served(options)
        _print(options, outcome, figures, (before, _measure_alone(options)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--images", type=int, default=1, help="pictures in a request")
    parser.add_argument("--side", type=int, default=256, help="of a picture as it is sent, pixels")
    parser.add_argument("--model", choices=("small", "shipped"), default="small")
    parser.add_argument("--threads", type=int, default=1, help="of the model")
    parser.add_argument("--part", choices=("all", "alone", "serve"), default="all", help=argparse.SUPPRESS)
    return parser.parse_args()


def _backbone(name: str) -> Backbone:
    if name == "shipped":
        return shipped()
    return untrained_vit(width=384, depth=12, num_heads=6, image_size=224, patch_size=16)  # the shape of ViT-S/16


def _learner(name: str) -> Learner:
    """Return a model with ten classes; what they are does not matter."""

    class Noise(torch.utils.data.Dataset[tuple[np.ndarray, int]]):
        classes = tuple(f"class {i}" for i in range(10))

        def __len__(self) -> int:
            return 2 * len(self.classes)

        def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
            return np.random.default_rng(index).integers(0, 256, (64, 64, 3), np.uint8), index % len(self.classes)

    learner = Learner(_backbone(name), device="cpu")
    learner.learn(Noise(), epochs=1, holdout=0)
    return learner


def _alone(learner: Learner) -> Alone:
    size = learner.image_size
    batch = torch.randint(0, 256, (BATCH, size, size, 3), dtype=torch.uint8)
    learner.probabilities(batch)
    count, start, spent = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - start < ALONE_SECONDS:
        learner.probabilities(batch)
        count += BATCH
    return Alone(count / (time.perf_counter() - start), (time.process_time() - spent) / count)


def _serve(learner: Learner, options: argparse.Namespace) -> None:
    """Serve until told to stop; stdout tells the port and the model's thread."""
    model = ServedModel(
        version=learner.model_version,
        classes=learner.classes,
        tasks=(1,) * learner.num_seen,
        image_size=learner.image_size,
        test_crop=learner.augment.test_crop,
        probabilities=learner.probabilities,
    )
    limits = Limits(max_batch=BATCH, queue=max(Limits().queue, options.clients * options.images))
    with listen("127.0.0.1", 0) as listener, tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder) / "model", lambda _: model, guard=Guard(host="127.0.0.1"), limits=limits)
        port = listener.getsockname()[1]
        ready = lambda: print(port, service.batcher._thread.native_id, flush=True)  # noqa: E731
        Runner(service, listener).serve_until_stopped(ready)


def _command(options: argparse.Namespace, part: str) -> list[str]:
    numbers = [f"--{name}={getattr(options, name)}" for name in ("clients", "images", "side", "model", "threads")]
    return [sys.executable, "-m", "benchmarks.serve_load", f"--part={part}", *numbers]


def _measure_alone(options: argparse.Namespace) -> Alone:
    said = subprocess.run(_command(options, "alone"), check=True, capture_output=True, text=True).stdout
    return Alone(*map(float, said.split()))


def _measure_served(options: argparse.Namespace) -> tuple[Outcome, Figures]:
    """Return what became of the requests, and what they cost."""
    server = subprocess.Popen(_command(options, "serve"), stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port, thread = map(int, server.stdout.readline().split())
        return asyncio.run(_load(port, lambda: _costs(server.pid, thread), options))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


async def _load(port: int, costs: Callable[[], Figures], options: argparse.Namespace) -> tuple[Outcome, Figures]:
    requests = [make_request(seed, options.images, options.side) for seed in range(NUM_REQUESTS)]
    await load(port, requests, options.clients, WARM_SECONDS)
    before = {**costs(), **await _counts(port)}
    outcome = await load(port, requests, options.clients, options.seconds)
    after = {**costs(), **await _counts(port)}
    return outcome, {name: value - before[name] for name, value in after.items()}


async def _counts(port: int) -> Figures:
    """Return the server's own counts of batches, pictures in them, and seconds in the model."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return {name: float(value) for name, value in COUNTED.findall(text)}


def _costs(server: int, thread: int) -> Figures:
    """Return processor seconds so far: of the parts of the server, of the clients, and of everything on the machine."""
    children = [
        int(child) for path in Path(f"/proc/{server}/task").glob("*/children") for child in path.read_text().split()
    ]
    model = _spent(Path(f"/proc/{server}/task/{thread}/stat"))
    busy = [int(ticks) for ticks in Path("/proc/stat").read_text().split(maxsplit=9)[1:9]]
    return {
        "model": model,
        "decoding": sum(_spent(Path(f"/proc/{child}/stat")) for child in children),
        "receiving and answering": _spent(Path(f"/proc/{server}/stat")) - model,
        "clients": time.process_time(),
        "machine": (sum(busy) - busy[3] - busy[4]) / TICK,  # neither idle nor waiting for the disk
    }


def _spent(stat: Path) -> float:
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK  # user and system


def _print(options: argparse.Namespace, outcome: Outcome, figures: Figures, alone: tuple[Alone, Alone]) -> None:
    answered, duration = outcome.statuses.pop(200, 0), outcome.duration
    count = answered * options.images
    rate = sum(each.rate for each in alone) / len(alone)
    batch = figures["sdlora_batch_pictures_sum"] / figures["sdlora_batch_pictures_count"]
    busy = figures["sdlora_forward_seconds_sum"] / duration
    median, late = np.percentile(outcome.times, (50, 99))
    parts = {name: figures[name] for name in ("model", "decoding", "receiving and answering", "clients")}
    others = (figures["machine"] - sum(parts.values())) / duration
    print(f"model {options.model}, {options.threads} threads of {os.cpu_count()} cores, others used {others:.2f} cores")
    print(f"clients    {options.clients}, {options.images} pictures of {options.side} pixels a request")
    print(f"answered   {answered} requests in {duration:.0f} s, others: {dict(outcome.statuses) or 'none'}")
    print(f"served     {count / duration:.1f} pictures/s in batches of {batch:.1f}; model busy {100 * busy:.1f} %")
    print(f"alone      {rate:.1f} pictures/s ({alone[0].rate:.1f} before, {alone[1].rate:.1f} after) by {BATCH}")
    print(f"share      {100 * count / duration / rate:.1f} %")
    print(f"latency    {1000 * median:.0f} ms median, {1000 * late:.0f} ms for 99 %")
    print("processor  " + ", ".join(f"{name} {1000 * cost / count:.2f}" for name, cost in parts.items()), end=" ")
    print(f"ms a picture; model alone {1000 * alone[0].cost:.2f} before, {1000 * alone[1].cost:.2f} after")


if __name__ == "__main__":
    main()
