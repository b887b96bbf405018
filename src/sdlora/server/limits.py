"""What one server accepts and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass

from sdlora.datasets.images import MAX_PIXELS
from sdlora.errors import ConfigError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Bounds on everything a client can make grow.

    Attributes:
        image_bytes: Size of one picture, bytes.
        request_bytes: Size of a request's body, bytes.
        in_flight_bytes: Size of all bodies being received at one time, bytes.
        json_bytes: Size of a body that is no picture, bytes.
        images: Pictures in a request.
        queue: Pictures admitted and not answered yet.
        timeout: Longest time an admitted picture waits for its answer, seconds.
        max_batch: Pictures in a forward pass.
        max_wait_ms: How long an idle model waits for more pictures, milliseconds.
        decode_seconds: Longest time for decoding one picture.
        head_seconds: Longest time for the head of a request.
        body_seconds: Longest time for the body of a request.
        drain_seconds: Longest time for a client to take what it was sent.
        connections: Open connections.
        drafts: Lessons being prepared at one time.
        lesson_classes: Classes of a lesson.
        lesson_images: Pictures of a lesson.
    """

    image_bytes: int = 10_000_000
    request_bytes: int = 64_000_000
    in_flight_bytes: int = 256_000_000
    json_bytes: int = 64_000
    images: int = 64
    queue: int = 256
    timeout: float = 30.0
    max_batch: int = 32
    max_wait_ms: float = 5.0
    decode_seconds: float = 5.0
    head_seconds: float = 10.0
    body_seconds: float = 30.0
    drain_seconds: float = 30.0
    connections: int = 800
    drafts: int = 4
    lesson_classes: int = 500
    lesson_images: int = 5_000

    def __post_init__(self) -> None:
        for option, value, lowest in (
            ("max-batch", self.max_batch, 1),
            ("max-wait-ms", self.max_wait_ms, 0),
            ("queue", self.queue, 1),
            ("timeout", self.timeout, 1),
        ):
            if not value >= lowest:
                raise ConfigError(f"--{option} {value}", expected=f"at least {lowest}")

    def to_dict(self) -> dict[str, float]:
        """Return what clients need to know."""
        return {
            "image_bytes": self.image_bytes,
            "request_bytes": self.request_bytes,
            "pixels": MAX_PIXELS,
            "images": self.images,
            "queue": self.queue,
            "timeout_seconds": self.timeout,
            "lesson_classes": self.lesson_classes,
            "lesson_images": self.lesson_images,
        }
