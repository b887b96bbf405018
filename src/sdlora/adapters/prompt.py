"""Prompts: tokens that enter a vision transformer in front of the patches, and the keys by which they are chosen.

Letters: N batch, L tokens, D width, M prompts in the pool, S chosen, P tokens inserted.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdlora.adapters.blocks import blocks_of
from sdlora.errors import ConfigError

_PROMPT: ContextVar[Tensor | None] = ContextVar("prompt", default=None)


class PromptSlot(nn.Module):
    """Where prompt tokens enter: behind the class token, before the first block, while `prompted` is active.

    Args:
        base: What stands there in the model, timm's ``patch_drop``; it has no parameters, so no state key moves.
        position: Number of tokens in front of the prompt.

    Shape:
        Input (N, L, D), output (N, L, D), or (N, L + P, D) with a prompt.
    """

    def __init__(self, base: nn.Module, position: int) -> None:
        super().__init__()
        self.base, self.position = base, position

    def forward(self, tokens: Tensor) -> Tensor:
        tokens, prompt = self.base(tokens), _PROMPT.get()
        if prompt is None:
            return tokens
        return torch.cat([tokens[:, : self.position], prompt, tokens[:, self.position :]], dim=1)


def inject_prompt(model: nn.Module) -> None:
    """Make a timm ``VisionTransformer`` ready for prompt tokens, in place.

    Raises:
        ConfigError: If the model is no such thing.
    """
    blocks_of(model)
    vit: Any = model
    if not isinstance(vit.patch_drop, PromptSlot):
        vit.patch_drop = PromptSlot(vit.patch_drop, vit.num_prefix_tokens)


@contextmanager
def prompted(tokens: Tensor) -> Iterator[None]:
    """Let every backbone run with prompt tokens (N, P, D) inside this block, in this thread alone."""
    token = _PROMPT.set(tokens)
    try:
        yield
    finally:
        _PROMPT.reset(token)


def class_position(model: nn.Module) -> Tensor:
    """Return the position embedding (1, 1, D) of the class token; zeros in a model that gives it none."""
    vit: Any = model
    if vit.pos_embed is None or vit.no_embed_class or vit.cls_token is None:
        return next(model.parameters()).new_zeros(1, 1, vit.embed_dim)
    return cast(Tensor, vit.pos_embed[:, :1])


def uniform(*shape: int, device: torch.device) -> nn.Parameter:
    """Return a new prompt or key, uniform in -1..1: the bits do not depend on the device.

    Raises:
        ConfigError: If it would have no entries.
    """
    if min(shape) < 1:
        raise ConfigError(f"prompts of shape {shape}", expected="lengths and numbers of 1 or more")
    return nn.Parameter(torch.empty(shape).uniform_(-1, 1).to(device))


def cosine(query: Tensor, keys: Tensor) -> Tensor:
    """Return the cosines (N, M) of queries (N, D) to keys (M, D), in float32 whatever the precision."""
    with torch.autocast(query.device.type, enabled=False):
        return F.normalize(query.float(), dim=1, eps=1e-6) @ F.normalize(keys.float(), dim=1, eps=1e-6).T


def highest(similarity: Tensor, count: int) -> Tensor:
    """Return the places (N, S) of the `count` highest of each row, best first; of equals the lowest place."""
    return similarity.sort(dim=1, descending=True, stable=True).indices[:, :count]


def vote(chosen: Tensor, num_keys: int) -> Tensor:
    """Let a batch choose together: the places chosen most often, for every row.

    It makes a prediction depend on the other images of its batch; published figures of L2P, and of DualPrompt on
    CIFAR-100, were made so.

    Args:
        chosen: (N, S) places.
        num_keys: Number M of places there are.

    Returns:
        (N, S) places, most votes first, of equals the lowest place.
    """
    votes = torch.bincount(chosen.flatten(), minlength=num_keys)
    return highest(votes[None], chosen.shape[1]).expand(len(chosen), -1)
