"""What a bundle is told about a learner."""

from __future__ import annotations

from sdlora.backbones.vit import Backbone
from sdlora.bundle import BackboneSource, Description, MethodSource, Preprocessing, TaskRecord
from sdlora.datasets.base import AugmentOptions


def describe(
    backbone: Backbone,
    augment: AugmentOptions,
    *,
    source: BackboneSource,
    method: MethodSource,
    seed: int,
    tasks: tuple[TaskRecord, ...],
) -> Description:
    """Return the description of what was taught.

    Args:
        backbone: What it was taught on.
        augment: How images became squares.
        source: Where that backbone comes from.
        method: Which method has learned.
        seed: What all randomness is a function of.
        tasks: The lessons, in order.
    """
    mean, std = backbone.statistics()
    return Description(
        seed=seed,
        backbone=source,
        method=method,
        preprocessing=Preprocessing(
            image_size=backbone.image_size,
            test_crop=augment.test_crop,
            crop_scale=augment.crop_scale,
            crop_ratio=augment.crop_ratio,
            flip=augment.flip,
            mean=mean,
            std=std,
        ),
        tasks=tasks,
    )
