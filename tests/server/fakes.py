"""A server in this process on a real socket, with a model that takes no time to load."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import os
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sdlora.server.decode_worker import answer
from sdlora.server.decoders import Decoders, check_size, unpack
from sdlora.server.running import Runner, listen
from sdlora.server.served import ServedModel, untaught
from sdlora.server.service import Service

SIDE = 8
SCALE = int(os.environ.get("SDLORA_TEST_SCALE", "1"))


def scaled(count: int) -> int:
    """Return how often to do what is better done more often than there is time for with every change."""
    return count * SCALE


def until(condition, seconds=60):
    """Wait for a condition and return its value."""
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.01)
    return found


def png(colour=(255, 0, 0), size=(16, 16)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass
class FakeModels:
    """Loads a model whose classes are the lines of `classes.txt` in the bundle, one lesson each.

    The probability of class k grows with how close the picture's mean red level is to k / (number of classes), so it
    depends on the picture and on nothing else.
    """

    delay: float = 0.0
    batches: list[int] = field(default_factory=list)
    failing: bool = False
    is_new: bool = False

    def load(self, path: Path) -> ServedModel:
        if self.is_new and not path.exists():
            return untaught()
        generations = sorted((path / "history").glob("*.json"), key=lambda entry: int(entry.stem))
        content = json.loads(generations[-1].read_text())
        classes = tuple(content["classes"])

        def probabilities(batch):
            if self.failing:
                raise RuntimeError("the model is broken")
            time.sleep(self.delay)
            self.batches.append(len(batch))
            red = batch[..., 0].float().mean(dim=(1, 2)).numpy()[:, None] / 255
            scores = np.exp(-10 * np.abs(red - np.arange(len(classes))[None] / max(len(classes) - 1, 1)))
            return (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)

        return ServedModel(
            version=f"{generations[-1].stem}-fake",
            classes=classes,
            tasks=tuple(range(1, len(classes) + 1)),
            image_size=SIDE,
            test_crop=0.875,
            probabilities=probabilities,
            lessons=tuple(
                {
                    "task": i + 1,
                    "classes": [name],
                    "source": f"folder{i + 1}",
                    "num_images": 10,
                    "held_out_accuracy": 0.9,
                    "seconds": 5.0,
                    "date": "2026-10-11",
                    "magnitude": 0.8,
                }
                for i, name in enumerate(classes)
            ),
            facts={
                "device": "cpu",
                "can_undo": len(generations) > 1,
                "method": "sdlora",
                "backbone": "fake",
                "bytes": 1000,
            },
        )


def write_generation(path: Path, classes: list[str]) -> None:
    """Add a generation to a fake bundle, atomically."""
    history = path / "history"
    history.mkdir(parents=True, exist_ok=True)
    number = len(list(history.glob("*.json"))) + 1
    temporary = history / ".new"
    temporary.write_text(json.dumps({"classes": classes}))
    temporary.rename(history / f"{number}.json")


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class InProcess(Decoders):
    """Decodes in this process, so that nothing has to be started."""

    async def start(self) -> None:
        self.pids = {0}

    async def stop(self) -> None:
        self.pids = set()

    async def _turn(self, process, frame):
        raise AssertionError("there are no processes")

    async def _ask(self, frame):
        check_size(frame, self.limits)
        return unpack(frame, answer(frame))


class Site:
    """A running server and how to talk to it."""

    def __init__(self, service: Service, models: FakeModels) -> None:
        self.service, self.models = service, models
        self.listener = listen("127.0.0.1", 0)
        self.port = self.listener.getsockname()[1]
        self.runner = Runner(service, self.listener)
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(ready)), name="server", daemon=True)
        self._thread.start()
        assert ready.wait(60)

    async def _serve(self, ready: threading.Event) -> None:
        self.loop = asyncio.get_running_loop()
        await self.runner._serve_and_tell(ready.set)

    def close(self) -> None:
        self.runner.stop()
        self._thread.join(30)
        assert not self._thread.is_alive()
        self.listener.close()

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Reply:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            response = connection.getresponse()
            return Reply(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Reply:
        return self.ask("GET", path, **headers)

    def post(self, path: str, value: Any = None, **headers: str) -> Reply:
        return self.ask("POST", path, json.dumps(value).encode(), Content_Type="application/json", **headers)

    def predict(self, data: bytes, query: str = "", **headers: str) -> Reply:
        return self.ask("POST", f"/v1/predict{query}", data, **{"Content_Type": "image/png", **headers})

    def call(self, function: Any) -> Any:
        """Run a function in the server's event loop."""

        async def run() -> Any:
            return function()

        return asyncio.run_coroutine_threadsafe(run(), self.loop).result(30)


def form(*parts: tuple[str, bytes], name: str = "image") -> tuple[bytes, str]:
    """Return a multipart body and its content type."""
    boundary = "x-boundary"
    body = b"".join(
        f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file}"\r\n'
        f"Content-Type: application/octet-stream\r\n\r\n".encode()
        + data
        + b"\r\n"
        for file, data in parts
    )
    return body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}"
