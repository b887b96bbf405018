"""What a learner says of images, at one moment: images in, probabilities or predictions out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from sdlora.bundle import Description
from sdlora.datasets.base import AugmentOptions
from sdlora.learner.pictures import as_many, as_seen, batched
from sdlora.methods import Method
from sdlora.predictions import Prediction, make_predictions

BATCH = 64  # images that are looked at together


@dataclass(frozen=True)
class Classifier:
    """A taught method with the names of its classes; whatever is taught meanwhile, its answers are of one state.

    Attributes:
        predictor: Computes the logits.
        description: What is known about it.
        augment: How an image becomes a square.
        device: Where it computes.
        version: Goes into every prediction.
    """

    predictor: Method
    description: Description
    augment: AugmentOptions
    device: torch.device
    version: str

    @torch.inference_mode()
    def probabilities(self, batch: Tensor) -> NDArray[np.float32]:
        """Return the softmax (N, K) over all classes of images (N, image_size, image_size, 3), uint8, on the CPU."""
        images = batch.to(self.device).permute(0, 3, 1, 2).contiguous().float().div_(255)
        logits = self.predictor(images).float()
        shares: NDArray[np.float32] = logits.softmax(dim=1).cpu().numpy()
        return shares

    def predict(
        self, images: Any, *, top_k: int, threshold: float, batch_size: int | None
    ) -> Prediction | list[Prediction]:
        """Say what images show; see `sdlora.Learner.predict`."""
        classes = self.description.classes
        tasks = [self.description.task_of(label) for label in classes]
        many = as_many(images)
        found: list[Prediction] = []
        for batch in batched(iter([images] if many is None else many), batch_size or BATCH):
            found += make_predictions(
                self.probabilities(self._seen(batch)),
                classes,
                tasks,
                images=[str(image) if isinstance(image, str | os.PathLike) else None for image in batch],
                top_k=top_k,
                threshold=threshold,
                model_version=self.version,
            )
        return found[0] if many is None else found

    def predict_proba(self, images: Any, *, batch_size: int | None) -> NDArray[np.float32]:
        """Return probabilities (N, K); see `sdlora.Learner.predict_proba`."""
        many = as_many(images)
        batches = batched(iter([images] if many is None else many), batch_size or BATCH)
        rows = [self.probabilities(self._seen(batch)) for batch in batches]
        return np.concatenate(rows) if rows else np.empty((0, len(self.description.classes)), np.float32)

    def _seen(self, images: Iterable[Any]) -> Tensor:
        size = self.predictor.backbone.image_size
        return torch.from_numpy(np.stack([as_seen(image, size, self.augment) for image in images]))
