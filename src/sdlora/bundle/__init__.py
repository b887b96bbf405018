"""The model bundle: a folder that holds what a learner has learned, and never loses it (docs/bundle.md)."""

from sdlora.bundle.commit import check_free, commit_lesson, record, undo
from sdlora.bundle.config import BundleConfig, Description, Weights
from sdlora.bundle.folder import Bundle, is_bundle, read_bundle, read_config, read_generation
from sdlora.bundle.history import earlier_states, neighbour
from sdlora.bundle.lock import writing
from sdlora.bundle.records import Comparison, MeasuredTask, Measurement, Retest, TaskRecord, Weakest
from sdlora.bundle.source import BackboneSource, Base, MethodSource, Preprocessing

__all__ = [
    "BackboneSource",
    "Base",
    "Bundle",
    "BundleConfig",
    "Comparison",
    "Description",
    "MeasuredTask",
    "Measurement",
    "MethodSource",
    "Preprocessing",
    "Retest",
    "TaskRecord",
    "Weakest",
    "Weights",
    "check_free",
    "commit_lesson",
    "earlier_states",
    "is_bundle",
    "neighbour",
    "read_bundle",
    "read_config",
    "read_generation",
    "record",
    "undo",
    "writing",
]
