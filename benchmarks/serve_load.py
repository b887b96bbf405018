"""The server under load, against its own model without a server.

    python -m benchmarks.serve_load [--seconds 60] [--clients 64] [--images 1] [--model small|shipped] [--threads 1]

Runs the server of ``sdlora serve`` in a process, lets many clients on this machine ask for one prediction after another
over connections of their own, and prints what became of them beside what the model alone does at the same batch size,
before and after, in a process of its own, with as many threads. Clients, server and decoding share the processor; that
is what the share tells. Weights of the small model are random, which costs the same time.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sdlora import Learner
from sdlora.backbones.vit import Backbone, shipped, untrained_vit
from sdlora.server.guard import Guard
from sdlora.server.limits import Limits
from sdlora.server.running import Runner, listen
from sdlora.server.served import ServedModel
from sdlora.server.service import Service

BATCH = 32
ALONE_SECONDS = 10.0
NUM_PICTURES = 200

Figures = dict[str, float]


@dataclass
class Outcome:
    """What became of all requests.

    Attributes:
        statuses: How many answers had which status; 0 for a connection that broke.
        seconds: How long each answer took.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    options = _options()
    torch.set_num_threads(options.threads)
    if options.part == "alone":
        print(_alone(_learner(options.model)))
    elif options.part == "serve":
        _serve(_learner(options.model), options)
    else:
        before = _measure_alone(options)
        outcome, duration, figures = _measure_served(options)
        _print(options, outcome, duration, figures, (before, _measure_alone(options)))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--images", type=int, default=1, help="pictures in a request")
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


def _alone(learner: Learner) -> float:
    """Return pictures a second of the model without a server."""
    size = learner.image_size
    batch = torch.randint(0, 256, (BATCH, size, size, 3), dtype=torch.uint8)
    learner.probabilities(batch)
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < ALONE_SECONDS:
        learner.probabilities(batch)
        count += BATCH
    return count / (time.perf_counter() - start)


def _serve(learner: Learner, options: argparse.Namespace) -> None:
    """Serve until told to stop; the port is the first line on stdout."""
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
        Runner(service, listener).serve_until_stopped(lambda: print(port, flush=True))


def _command(options: argparse.Namespace, part: str) -> list[str]:
    numbers = [f"--{name}={getattr(options, name)}" for name in ("clients", "images", "model", "threads")]
    return [sys.executable, "-m", "benchmarks.serve_load", f"--part={part}", *numbers]


def _measure_alone(options: argparse.Namespace) -> float:
    return float(subprocess.run(_command(options, "alone"), check=True, capture_output=True, text=True).stdout)


def _measure_served(options: argparse.Namespace) -> tuple[Outcome, float, Figures]:
    """Return what became of the requests, how long they went on (seconds), and the server's own figures."""
    server = subprocess.Popen(_command(options, "serve"), stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        return asyncio.run(_load(int(server.stdout.readline()), options))
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(30)


async def _load(port: int, options: argparse.Namespace) -> tuple[Outcome, float, Figures]:
    requests = [_request(seed, options.images) for seed in range(NUM_PICTURES)]
    warming = Outcome()
    await asyncio.gather(*(_client(port, requests, time.monotonic() + 5, i, warming) for i in range(options.clients)))
    before, outcome, start = await _figures(port), Outcome(), time.monotonic()
    end = start + options.seconds
    await asyncio.gather(*(_client(port, requests, end, i, outcome) for i in range(options.clients)))
    duration = time.monotonic() - start
    after = await _figures(port)
    return outcome, duration, {name: value - before[name] for name, value in after.items()}


async def _figures(port: int) -> dict[str, float]:
    """Return the server's own counts of batches, pictures in them, and seconds in the model."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    text = (await reader.read()).decode()
    writer.close()
    return {name: float(value) for name, value in re.findall(r"^(sdlora_\w+_(?:sum|count)) (\S+)", text, re.MULTILINE)}


def _request(seed: int, count: int) -> bytes:
    """Return a request with pictures like small photographs: JPEG, 256 pixels a side."""
    parts = []
    for number in range(count):
        coarse = np.random.default_rng((seed, number)).integers(0, 256, (24, 24, 3), np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(coarse).resize((256, 256), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        parts.append(buffer.getvalue())
    if count == 1:
        body, kind = parts[0], "image/jpeg"
    else:
        head = b'--x\r\nContent-Disposition: form-data; name="image"; filename="a.jpg"\r\n\r\n'
        body, kind = b"".join(head + part + b"\r\n" for part in parts) + b"--x--\r\n", "multipart/form-data; boundary=x"
    return (
        f"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def _client(port: int, requests: list[bytes], end: float, number: int, outcome: Outcome) -> None:
    """Ask again and again over one connection, bounded by `end`."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < end:
        start = time.monotonic()
        try:
            writer.write(requests[number % len(requests)])
            head = await reader.readuntil(b"\r\n\r\n")
            (length,) = re.findall(rb"content-length: (\d+)", head)
            await reader.readexactly(int(length))
        except (ConnectionError, asyncio.IncompleteReadError):
            outcome.statuses[0] += 1
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            continue
        outcome.statuses[int(head.split()[1])] += 1
        outcome.seconds.append(time.monotonic() - start)
        number += 1
    writer.close()


def _print(
    options: argparse.Namespace, outcome: Outcome, duration: float, figures: Figures, alone: tuple[float, float]
) -> None:
    answered = outcome.statuses.pop(200, 0)
    served, rate = answered * options.images / duration, sum(alone) / len(alone)
    batch = figures["sdlora_batch_pictures_sum"] / figures["sdlora_batch_pictures_count"]
    busy = figures["sdlora_forward_seconds_sum"] / duration
    median, late = np.percentile(outcome.seconds, (50, 99))
    print(f"model {options.model}, {options.threads} threads of {os.cpu_count()} cores")
    print(f"clients    {options.clients}, {options.images} pictures a request")
    print(f"answered   {answered} requests in {duration:.0f} s, errors: {dict(outcome.statuses) or 'none'}")
    print(f"served     {served:.1f} pictures/s in batches of {batch:.1f}; model busy {100 * busy:.1f} % of the time")
    print(f"alone      {rate:.1f} pictures/s ({alone[0]:.1f} before, {alone[1]:.1f} after) in batches of {BATCH}")
    print(f"share      {100 * served / rate:.1f} %")
    print(f"latency    {1000 * median:.0f} ms median, {1000 * late:.0f} ms for 99 %")


if __name__ == "__main__":
    main()
