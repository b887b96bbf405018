"""The model bundle: a folder that holds what a learner has learned, and never loses it (docs/bundle.md)."""

from sdlora.bundle.config import (
    BackboneSource,
    BundleConfig,
    Description,
    MeasuredTask,
    Measurement,
    MethodSource,
    Preprocessing,
    Retest,
    TaskRecord,
    Weakest,
    Weights,
)
from sdlora.bundle.folder import (
    Bundle,
    commit_lesson,
    is_bundle,
    read_bundle,
    read_config,
    read_generation,
    record,
    undo,
)
from sdlora.bundle.lock import writing

__all__ = [
    "BackboneSource",
    "Bundle",
    "BundleConfig",
    "Description",
    "MeasuredTask",
    "Measurement",
    "MethodSource",
    "Preprocessing",
    "Retest",
    "TaskRecord",
    "Weakest",
    "Weights",
    "commit_lesson",
    "is_bundle",
    "read_bundle",
    "read_config",
    "read_generation",
    "record",
    "undo",
    "writing",
]
