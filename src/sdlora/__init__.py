"""Class-incremental learning with pretrained vision transformers: SD-LoRA and its peers under one protocol.

    sdlora.Learner     teach a model new classes, ask it, keep it

    sdlora.adapters    layers and injection for any torch module
    sdlora.methods     the learners, behind six hooks
    sdlora.streams     tasks and batches from any dataset
    sdlora.metrics     Acc, AAA, forgetting, transfer, from integers
    sdlora.engine      training with exact resume

Importing the package imports none of them; `Learner` brings torch when it is first named.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdlora.learner import Learner

__version__ = "0.1.0"

__all__ = ["Learner", "__version__"]


def __getattr__(name: str) -> type[Learner]:
    if name == "Learner":
        from sdlora.learner import Learner

        return Learner
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
