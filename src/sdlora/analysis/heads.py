"""Other heads on the features of a run: what it would have reached had another head predicted.

A head that is solved does not change how features are trained, so one run tells what each of them would answer:
statistics are taken after each task, by the model of that time, and the test images are seen by the final model. The
figures of ``"discriminant"`` are those that training with ``method.head = "discriminant"`` gives, to the last hit.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from sdlora.adapters.merge import merged
from sdlora.analysis.trajectory import Trajectory
from sdlora.engine.device import open_accelerator
from sdlora.engine.seeding import seeded
from sdlora.errors import RunError
from sdlora.files import json_bytes, write_atomic
from sdlora.heads.discriminant import DiscriminantHead
from sdlora.heads.random_projection import RandomProjectionHead, projection_width
from sdlora.methods.linear_classifier import LinearClassifier
from sdlora.reports.runs import HEADS
from sdlora.streams import PlainBatches, TaskSplit


@dataclass(frozen=True)
class HeadComparison:
    """Test images that each head classifies correctly after the last task.

    Attributes:
        hits: By name of the head, images of each group; ``"linear"`` is the head that was trained.
        totals: Test images of each group.
    """

    hits: dict[str, list[int]]
    totals: list[int]

    def accuracy(self, head: str) -> float:
        """Return Acc, the mean accuracy over groups, as a fraction."""
        shares = [hits / total for hits, total in zip(self.hits[head], self.totals, strict=True)]
        return sum(shares) / len(shares)


def compare_heads(folder: Path, *, device: str = "auto") -> HeadComparison:
    """Solve the other heads on a run's features, task by task, and test all of them.

    Args:
        folder: A finished run that kept its weights after each task.
        device: Where features are computed.

    Raises:
        RunError: If the run is not finished, kept no weights, or its method has no features of its own.
        DataError: If the data are not there.
    """
    found = Trajectory.load(folder)
    options = replace(found.experiment.options(found.run.seed), device=device)
    with open_accelerator(options) as accelerator:
        solved = _solve(found, options.eval_batch_size, accelerator)
        method = _classifier(found, found.num_tasks, accelerator)
        heads: dict[str, nn.Module] = {"linear": method.head, **solved}
        hits: dict[str, list[int]] = {name: [] for name in heads}
        totals = []
        for index in range(found.num_tasks):
            with merged(method.backbone):
                features, labels = _features(method, found.stream.test(index), options.eval_batch_size, accelerator)
            with accelerator.autocast():
                for name, head in heads.items():
                    hits[name].append(int((head(features).argmax(dim=1) == labels).sum()))
            totals.append(len(labels))
    return HeadComparison(hits, totals)


def write_heads(comparison: HeadComparison, folder: Path) -> None:
    """Write ``heads.json`` into a run folder, for reports.

    Raises:
        StorageError: If it cannot be written.
    """
    content = {"format": 1, "hits": comparison.hits, "totals": comparison.totals}
    write_atomic(folder / HEADS, json_bytes(content))


def _solve(found: Trajectory, batch_size: int, accelerator: Accelerator) -> dict[str, nn.Module]:
    seed = found.run.seed
    width, device = found.experiment.backbone.feature_dim, accelerator.device
    with seeded(seed, "ridge"):
        ridge = RandomProjectionHead(width, projection_width(width, None), device=device)
    discriminant, earlier = DiscriminantHead(width, device=device), None
    for task in found.stream.tasks:
        method, split = _classifier(found, task.index + 1, accelerator), found.stream.train(task.index)
        if earlier is not None and method.trained():
            discriminant.watch(_features(earlier, split, batch_size, accelerator)[0])
        features, labels = _features(method, split, batch_size, accelerator)
        for head in (discriminant, ridge):
            head.grow(task.num_classes)
            with seeded(seed, task.index, "end_task"):
                head.fit(features, labels)
        earlier = method
    return {"discriminant": discriminant, "ridge": ridge}


def _classifier(found: Trajectory, num_tasks: int, accelerator: Accelerator) -> LinearClassifier:
    method = found.after(num_tasks).to(accelerator.device)
    if not isinstance(method, LinearClassifier) or not len(method.head.blocks):
        raise RunError(
            f"{found.run.path} has no features on which another head could be tried",
            expected="a run whose linear head was trained, such as one of sdlora, lora, inflora or probe",
        )
    return method


@torch.no_grad()
def _features(
    method: LinearClassifier, split: TaskSplit, batch_size: int, accelerator: Accelerator
) -> tuple[Tensor, Tensor]:
    batches = PlainBatches(split, batch_size, method.backbone.image_size, accelerator.device)
    with accelerator.autocast():
        parts = [(method.features(images), labels) for images, labels in batches]
    features, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    return features, labels
