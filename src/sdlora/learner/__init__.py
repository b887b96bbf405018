"""The object a practitioner works with: teach it, ask it, keep it."""

from sdlora.bundle import TaskRecord
from sdlora.learner.learner import Learner

__all__ = ["Learner", "TaskRecord"]
