"""The model bundle: a folder that holds what a learner has learned, and never loses it (docs/bundle.md)."""

from sdlora.bundle.config import (
    BackboneSource,
    BundleConfig,
    Description,
    MethodSource,
    Preprocessing,
    Retest,
    TaskRecord,
    Weakest,
    Weights,
)
from sdlora.bundle.folder import Bundle, commit_lesson, read_bundle, undo

__all__ = [
    "BackboneSource",
    "Bundle",
    "BundleConfig",
    "Description",
    "MethodSource",
    "Preprocessing",
    "Retest",
    "TaskRecord",
    "Weakest",
    "Weights",
    "commit_lesson",
    "read_bundle",
    "undo",
]
