"""What a run measures once all its tasks are learned: the costs of its method, as `sdlora.costs` defines them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sdlora.costs import measure
from sdlora.engine.seeding import seeded
from sdlora.engine.session import Session
from sdlora.methods.base import Method
from sdlora.streams import PlainBatches

NUM_IMAGES = 8


def measure_cost(session: Session, make_method: Callable[[], Method]) -> dict[str, Any]:
    """Return the costs after the last task, on the run's device and in its precision; the method stays as it is.

    Args:
        session: All tasks are learned.
        make_method: As for `sdlora.engine.fit`; the backbone of what it makes is what costs are compared with.
    """
    method, options = session.method, session.options
    with seeded(options.seed, "plain"):
        plain = make_method().backbone.to(session.accelerator.device)
    split = session.stream.train(len(session.stream.tasks) - 1)
    images, labels = next(iter(PlainBatches(split, NUM_IMAGES, plain.image_size, session.accelerator.device)))
    with session.seeded(session.stream.tasks[-1], "cost"), session.accelerator.autocast():
        cost = measure(method, plain, images, labels, sample_bytes=_sample_bytes(session))
    return cost.to_json() | {"measured_on": "run"}


def _sample_bytes(session: Session) -> int:
    """Return the size of the pictures of all tasks, where they were trained on together."""
    if not session.method.joint:
        return 0
    num_images = sum(len(session.stream.train(position)) for position in range(len(session.stream.tasks)))
    return 3 * session.method.backbone.image_size**2 * num_images
