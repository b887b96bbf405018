"""The object a practitioner works with: teach it, ask it, keep it."""

from sdlora.bundle import TaskRecord
from sdlora.learner.learner import Learner
from sdlora.learner.observer import LessonObserver, LessonPlan

__all__ = ["Learner", "LessonObserver", "LessonPlan", "TaskRecord"]
