"""Accuracy as integers: how many images of each seen group get the right class among all classes seen.

Adapters are merged meanwhile, so an image takes what it takes in the plain backbone.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from accelerate import Accelerator
from torch import Tensor

from sdlora.adapters.merge import merged
from sdlora.engine.options import EVAL_BATCH_SIZE
from sdlora.methods.base import Method
from sdlora.streams import PlainBatches, Stream


@torch.inference_mode()
def evaluate(
    method: Method,
    stream: Stream,
    accelerator: Accelerator,
    *,
    num_seen: int,
    batch_size: int = EVAL_BATCH_SIZE,
    confusion: Tensor | None = None,
    on_batch: Callable[[], None] = lambda: None,
) -> tuple[list[int | None], list[int | None]]:
    """Classify every test image of the groups seen so far, once.

    Args:
        method: Has begun the tasks that hold the first `num_seen` classes.
        stream: Gives the test groups.
        accelerator: Gives device and precision.
        num_seen: Number of classes seen.
        batch_size: Images in a batch. The result depends on it only where a method lets images of a batch change each
            other's prediction (`batch_vote`, `port_layout`).
        confusion: (K, K) int64 on the device, K = `num_seen`; every image adds 1 at its class and the one predicted.
        on_batch: Called before each batch; the method is merged then, so its state must not be stored.

    Returns:
        Hits and totals of each group, images; None where a group has classes not seen yet.
    """
    was_training = method.training
    method.eval()
    hits: list[int | None] = []
    totals: list[int | None] = []
    try:
        with merged(method.backbone):
            for position, group in enumerate(stream.groups):
                is_seen = group.num_seen <= num_seen
                split = stream.test(position)
                batches = PlainBatches(split, batch_size, method.backbone.image_size, accelerator.device)
                hits.append(_count(method, batches, accelerator, confusion, on_batch) if is_seen else None)
                totals.append(len(split) if is_seen else None)
    finally:
        method.train(was_training)
    return hits, totals


def _count(
    method: Method,
    batches: PlainBatches,
    accelerator: Accelerator,
    confusion: Tensor | None,
    on_batch: Callable[[], None],
) -> int:
    hits = torch.zeros((), dtype=torch.int64, device=accelerator.device)
    for images, labels in batches:
        on_batch()
        with accelerator.autocast():
            logits = method(images)
        predicted = logits.argmax(dim=1)
        if confusion is not None:
            pairs = torch.bincount(labels * len(confusion) + predicted, minlength=confusion.numel())
            confusion += pairs.view_as(confusion)
        hits += (predicted == labels).sum()  # read once, at the end: no waiting for the device
    return int(hits)
