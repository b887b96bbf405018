"""What cannot be taught to a method whose head is trained among the classes of one lesson."""

from __future__ import annotations

from sdlora.errors import DataError
from sdlora.heads import LinearHead
from sdlora.learner.defaults import has_heads
from sdlora.methods import Method
from sdlora.methods.linear_classifier import LinearClassifier

FIX = "begin a model with the default method and head: sdlora learn NEW_MODEL DATA"


def check_able(method: Method, num_new: int, num_known: int) -> None:
    """Refuse a single class where the loss would be constant, and known classes where no statistics could take them.

    Args:
        method: What is to learn.
        num_new: Classes that it does not know yet.
        num_known: Classes that it is to be taught again.

    Raises:
        DataError: Naming what can.
    """
    if isinstance(method, LinearClassifier) and method.solved_head is not None:
        return
    whom = 'head = "linear"' if has_heads(type(method)) else "this method"
    if num_known:
        raise DataError(f"known classes cannot be taught again with {whom}", expected="new classes only", fix=FIX)
    if num_new == 1 and any(isinstance(module, LinearHead) for module in method.modules()):
        raise DataError(f"one new class alone cannot be learned with {whom}", expected="two classes or more", fix=FIX)
