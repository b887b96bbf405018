"""Classifiers over the classes seen so far."""

from sdlora.heads.linear import LinearHead
from sdlora.heads.prototype import PrototypeHead

__all__ = ["LinearHead", "PrototypeHead"]
