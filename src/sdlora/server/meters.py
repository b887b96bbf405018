"""What `/metrics` shows, in Prometheus' text format."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Meters:
    """The counters of one server; nothing is shared between two of them.

    Attributes:
        answers: Requests by method, path and status.
        seconds: Time from the head of a request to its answer, by path.
        batches: Pictures in each forward pass.
        forward: Duration of each forward pass, seconds.
        waiting: Pictures admitted and not answered yet.
        dropped: Pictures whose client left, or that waited too long, before their forward pass.
        lessons: Lessons by how they ended.
    """

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.answers = Counter("sdlora_answers", "Requests.", ("method", "route", "status"), registry=registry)
        self.seconds = Histogram("sdlora_seconds", "Seconds to an answer.", ("route",), registry=registry)
        self.batches = Histogram("sdlora_batch_pictures", "Pictures in a pass.", registry=registry, buckets=SIZES)
        self.forward = Histogram("sdlora_forward_seconds", "Seconds of a forward pass.", registry=registry)
        self.waiting = Gauge("sdlora_waiting_pictures", "Pictures waiting.", registry=registry)
        self.dropped = Counter("sdlora_dropped_pictures", "Pictures nobody waits for any more.", registry=registry)
        self.lessons = Counter("sdlora_lessons", "Lessons taught here.", ("end",), registry=registry)

    def on_answer(self, method: str, path: str, status: int, seconds: float) -> None:
        """Count a request; names that clients make up share one label, so they cannot fill the memory."""
        route = path if path in ROUTES else "lesson" if path.startswith("/v1/lessons/") else "other"
        self.answers.labels(method if method in METHODS else "other", route, str(status)).inc()
        self.seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Return all of them as text."""
        return generate_latest(self.registry)


METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
ROUTES = (
    "/",
    "/v1/predict",
    "/v1/model",
    "/v1/lessons",
    "/v1/rename",
    "/v1/undo",
    "/health/live",
    "/health/ready",
    "/metrics",
)
