"""What is asked of a vision transformer, whichever library made it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn


class Family(ABC):
    """How the models of one library are read; abstract, and every concrete family is final.

    It holds no model, so a copy of a backbone needs no second copy of it.
    """

    head_name: ClassVar[str]
    """Where a model keeps its classifier."""

    @abstractmethod
    def behead(self, model: nn.Module) -> nn.Module:
        """Return the model without its classifier; it is taken over and may be changed in place."""

    @abstractmethod
    def feature_dim(self, model: nn.Module) -> int:
        """Return the width D of what its classifier was given."""

    @abstractmethod
    def image_size(self, model: nn.Module) -> int:
        """Return the side of the square input it was made for, pixels."""

    @abstractmethod
    def blocks(self, model: nn.Module) -> list[nn.Module]:
        """Return the transformer blocks, first to last."""

    @abstractmethod
    def tokens(self, model: nn.Module, images: Tensor) -> Tensor:
        """Return the last tokens (N, L, D') of normalised images (N, 3, H, W)."""

    @abstractmethod
    def token_dim(self, model: nn.Module) -> int:
        """Return the width D' of its tokens."""

    @abstractmethod
    def num_prefix_tokens(self, model: nn.Module) -> int:
        """Return the number of tokens in front of the patches; the first of them is the class token."""

    @abstractmethod
    def block_tokens(self, model: nn.Module, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
        """Return the tokens (N, L, D') that leave the given blocks, before any final norm.

        Args:
            model: The model.
            images: (N, 3, H, W), normalised.
            layers: Indices of blocks, from 0, ascending.
        """

    @abstractmethod
    def features(self, model: nn.Module, images: Tensor) -> Tensor:
        """Return what the classifier was given (N, D) for normalised images (N, 3, H, W)."""

    @abstractmethod
    def set_head(self, model: nn.Module, head: nn.Linear, classes: Sequence[str]) -> None:
        """Give the model a classifier of its own kind, and the names of its classes, in place."""
