"""A vision transformer under one linear layer on the tokens of several blocks; it needs PyTorch alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def token_statistics(tokens: Sequence[Tensor], num_prefix_tokens: int) -> Tensor:
    """Return class token, and mean and deviation of the patch tokens, of several blocks, concatenated.

    Tokens pass a layer norm without parameters first, so that no block outweighs another. Where a model has no class
    token, the mean stands in its place.

    Args:
        tokens: (N, T, D) that leave each of L blocks.
        num_prefix_tokens: Tokens in front of the patches.

    Returns:
        (N, 3 * L * D).
    """
    features: list[Tensor] = []
    for rows in tokens:
        rows = F.layer_norm(rows.float(), rows.shape[-1:])
        patches = rows[:, num_prefix_tokens:]
        mean = patches.mean(dim=1)
        deviation = (patches - mean[:, None]).square().mean(dim=1).sqrt()
        features += [rows[:, 0] if num_prefix_tokens else mean, mean, deviation]
    return torch.cat(features, dim=1)


class LayerClassifier(nn.Module):
    """Apply one layer to the `token_statistics` of several blocks of a vision transformer.

    Args:
        vit: A vision transformer of timm or transformers, or such a model in a ``PeftModel``. Its own classifier is
            not used.
        layers: (L,) indices of blocks, from 0, ascending.
        weight: (K, 3 * L * D), D the width of a token.
        bias: (K,).
        label_names: Names of the K classes.

    Shape:
        Normalised images (N, 3, H, W) to logits (N, K).
    """

    def __init__(
        self, vit: nn.Module, layers: Tensor, weight: Tensor, bias: Tensor, label_names: Sequence[str] = ()
    ) -> None:
        super().__init__()
        self.vit, self.layers, self.label_names = vit, layers.tolist(), tuple(label_names)
        self.head = nn.Linear(weight.shape[1], weight.shape[0], device="meta")
        self.head.load_state_dict({"weight": weight, "bias": bias}, assign=True)

    def forward(self, images: Tensor) -> Tensor:
        first = getattr(self.vit, "num_prefix_tokens", 1)  # of transformers: the class token alone
        return self.head(token_statistics(self.block_tokens(images), first))  # type: ignore[no-any-return]

    def block_tokens(self, images: Tensor) -> list[Tensor]:
        """Return the tokens (N, T, D) that leave each of the blocks, before any final norm."""
        vit: Any = self.vit
        if not hasattr(vit, "forward_intermediates"):  # of transformers; the first state is the embedding
            states = vit(pixel_values=images, output_hidden_states=True).hidden_states
            return [states[layer + 1] for layer in self.layers]
        found = vit.forward_intermediates(
            images, indices=self.layers, return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
        )
        return [torch.cat([prefix, patches], dim=1) for patches, prefix in found] if vit.num_prefix_tokens else found
