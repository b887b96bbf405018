"""All that is measured of a method after its last task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from sdlora.backbones.vit import Backbone
from sdlora.costs.forward import as_served, count_flops, count_passes, plain_classifier
from sdlora.costs.kept import kept_bytes
from sdlora.costs.latency import side_by_side
from sdlora.costs.reach import Reach, measure_reach
from sdlora.methods.base import Method, Origin

TIMED_IMAGES = 8


@dataclass(frozen=True)
class Cost:
    """Costs of one method after some tasks; predictions are those of one image, merged where the method merges.

    Attributes:
        kept: Bytes kept from old tasks, by kind.
        passes: Passes through the backbone.
        flops: Floating-point operations.
        plain_flops: Those of the unadapted backbone with a linear head.
        seconds: Time of a prediction in a batch of `TIMED_IMAGES`.
        plain_seconds: That of the unadapted backbone with a linear head, measured in turns with it.
        reach: What the task loss reaches.
    """

    kept: dict[Origin, int]
    passes: float
    flops: int
    plain_flops: int
    seconds: float
    plain_seconds: float
    reach: Reach

    @property
    def rehearsal_free(self) -> bool:
        """Whether nothing is kept of old tasks."""
        return not any(self.kept.values())

    @property
    def one_pass(self) -> bool:
        """Whether a prediction takes exactly one pass."""
        return self.passes == 1

    @property
    def end_to_end(self) -> bool:
        """Whether the task loss trains all that is trained, and all that predicts."""
        return self.reach.end_to_end

    def to_json(self) -> dict[str, Any]:
        """Return the figures, and what they say; values of keys that end in ``seconds`` differ from run to run."""
        return {
            "rehearsal_free": self.rehearsal_free,
            "one_pass": self.one_pass,
            "end_to_end": self.end_to_end,
            "kept_bytes": self.kept,
            "passes": self.passes,
            "flops": self.flops,
            "plain_flops": self.plain_flops,
            "prediction_seconds": self.seconds,
            "plain_prediction_seconds": self.plain_seconds,
            "trained": len(self.reach.trained),
            "without_task_gradient": list(self.reach.unreached),
            "without_part_in_logits": list(self.reach.unused),
        }


def measure(method: Method, plain: Backbone, images: Tensor, labels: Tensor, *, sample_bytes: int = 0) -> Cost:
    """Measure what a method costs after the task it learned last; it stays as it is.

    Args:
        method: Has learned the task.
        plain: A backbone of the same shape that no task has changed; its adapters get merged.
        images: (N, 3, H, W) of that task, N at least 1.
        labels: (N,) their class ids.
        sample_bytes: Size of the pictures of old tasks that the method was trained on together with the new ones.
    """
    reach = measure_reach(method, images, labels)
    few = images[:TIMED_IMAGES]
    with as_served(method):
        passes = count_passes(method, few)
        reference = plain_classifier(plain, method(few[:1]).shape[1])
        flops, plain_flops = count_flops(method, few[:1]), count_flops(reference, few[:1])
        seconds, plain_seconds = side_by_side(method, reference, few)
    kept = kept_bytes(method)
    kept["samples"] += sample_bytes
    return Cost(kept, passes, flops, plain_flops, seconds, plain_seconds, reach)
