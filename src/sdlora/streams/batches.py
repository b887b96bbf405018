"""Batches of pictures on the training device, each a function of what it is for and of nothing else.

The order of an epoch is a permutation from (seed, task, epoch), the crop of an image is drawn from (seed, task, epoch,
image id). So going on in the middle of an epoch is taking a slice of the order, and nobody else's use of the global
generators changes anything. The next batch is prepared in a thread while the current one is in use.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdlora.datasets.base import AugmentOptions
from sdlora.datasets.image_files import fetch
from sdlora.randomness import hash_key, permutation
from sdlora.streams.resample import pack_boxes, resample_batch, resample_each
from sdlora.streams.stream import TaskSplit
from sdlora.streams.views import Views, central_views, random_views

ViewRule = Callable[[NDArray[np.int64], NDArray[np.int64]], Views]
"""From the sizes (N, 2) and ids (N,) of images to what is seen of them."""

Loaded = tuple[Tensor, Views, Tensor]
"""Pictures, or boxes to make them of; the views; labels."""


@dataclass(frozen=True)
class TrainBatches:
    """Augmented images of a task in random order; the last batch may be smaller.

    Attributes:
        split: The images.
        batch_size: Images in a batch.
        seed: Of the run.
        task: Index of the task.
        epoch: Index of the pass over the task.
        augment: What the crops are drawn from.
        image_size: Side of a picture, pixels.
        device: Where the pictures are made.
        first_step: Batches of the epoch to leave out at its start.
    """

    split: TaskSplit
    batch_size: int
    seed: int
    task: int
    epoch: int
    augment: AugmentOptions
    image_size: int
    device: torch.device | str = "cpu"
    first_step: int = 0

    def from_step(self, step: int) -> TrainBatches:
        """Return the rest of the epoch from batch `step` on."""
        return replace(self, first_step=step)

    @cached_property
    def order(self) -> NDArray[np.int64]:
        """Positions in the split, in the order of the whole epoch."""
        return permutation(hash_key("order", self.seed, self.task, self.epoch), len(self.split))

    def __len__(self) -> int:
        return -(-len(self.split) // self.batch_size) - self.first_step

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        key = hash_key("augment", self.seed, self.task, self.epoch)

        def views(sizes: NDArray[np.int64], ids: NDArray[np.int64]) -> Views:
            return random_views(sizes, self.image_size, self.augment, key=key, ids=ids)

        rest = self.order[self.first_step * self.batch_size :]
        return _batches(self.split, rest, self.batch_size, views, self.image_size, self.device)


@dataclass(frozen=True)
class PlainBatches:
    """The same images as seen at test, in fixed order.

    Attributes:
        split: The images.
        batch_size: Images in a batch.
        image_size: Side of a picture, pixels.
        device: Where the pictures are made.
        augment: How much of an image is seen; None for the split's own.
    """

    split: TaskSplit
    batch_size: int
    image_size: int
    device: torch.device | str = "cpu"
    augment: AugmentOptions | None = None

    def __len__(self) -> int:
        return -(-len(self.split) // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        def views(sizes: NDArray[np.int64], ids: NDArray[np.int64]) -> Views:
            return central_views(sizes, self.image_size, self.augment or self.split.augment)

        order = np.arange(len(self.split))
        return _batches(self.split, order, self.batch_size, views, self.image_size, self.device)


def _batches(
    split: TaskSplit,
    order: NDArray[np.int64],
    batch_size: int,
    rule: ViewRule,
    picture: int,
    device: torch.device | str,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield pictures (N, 3, P, P) and labels (N,) on the device."""
    target = torch.device(device)

    def load(start: int) -> Loaded:
        members = order[start : start + batch_size]
        ids = split.ids[members]
        images = fetch(split.images, ids)
        views = rule(np.array([image.shape[:2] for image in images]), ids)
        if target.type == "cpu":
            pixels = resample_each(images, views, picture)
        else:
            pixels = pack_boxes(images, views, pinned=target.type == "cuda")
        return pixels, views, torch.from_numpy(split.labels[members])

    for pixels, views, labels in _ahead(load, range(0, len(order), batch_size)):
        if target.type == "cpu":
            yield pixels, labels
        else:
            pixels = pixels.to(target, non_blocking=True)
            yield resample_batch(pixels, views, picture), labels.to(target, non_blocking=True)


def _ahead(load: Callable[[int], Loaded], starts: range) -> Iterator[Loaded]:
    """Yield ``load(start)`` for each start, while the next one is being loaded in a thread."""
    with ThreadPoolExecutor(1) as thread:
        loading: deque[Future[Loaded]] = deque()
        for start in starts:
            loading.append(thread.submit(load, start))
            if len(loading) > 1:
                yield loading.popleft().result()
        for last in loading:
            yield last.result()
