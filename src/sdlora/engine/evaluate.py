"""Accuracy as integers: how many images of each seen group get the right class among all classes seen."""

from __future__ import annotations

from collections.abc import Callable

import torch
from accelerate import Accelerator

from sdlora.methods.base import Method
from sdlora.streams import PlainBatches, Stream


@torch.inference_mode()
def evaluate(
    method: Method,
    stream: Stream,
    accelerator: Accelerator,
    *,
    num_seen: int,
    batch_size: int = 256,
    on_batch: Callable[[], None] = lambda: None,
) -> tuple[list[int | None], list[int | None]]:
    """Classify every test image of the groups seen so far, once.

    Args:
        method: Has begun the tasks that hold the first `num_seen` classes.
        stream: Gives the test groups.
        accelerator: Gives device and precision.
        num_seen: Number of classes seen.
        batch_size: Images in a batch; the result does not depend on it.
        on_batch: Called before each batch.

    Returns:
        Hits and totals of each group, images; None where a group has classes not seen yet.
    """
    was_training = method.training
    method.eval()
    hits: list[int | None] = []
    totals: list[int | None] = []
    for position, group in enumerate(stream.groups):
        if group.num_seen > num_seen:
            hits.append(None)
            totals.append(None)
            continue
        split = stream.test(position)
        correct = torch.zeros((), dtype=torch.int64, device=accelerator.device)
        for images, labels in PlainBatches(split, batch_size, method.backbone.image_size, accelerator.device):
            on_batch()
            with accelerator.autocast():
                logits = method(images)
            correct += (logits.argmax(dim=1) == labels).sum()
        hits.append(int(correct))
        totals.append(len(split))
    method.train(was_training)
    return hits, totals
