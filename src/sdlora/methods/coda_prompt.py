"""CODA-Prompt: prefixes that are weighted sums of components, weighted by attention to the frozen feature.

Letters: N batch, D width, S prompted blocks, C components of a task, F components so far, P prompt length.
"""

from __future__ import annotations

import math
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdlora.adapters.prefix import by_layer, inject_prefixes, prefixed
from sdlora.backbones.vit import Backbone
from sdlora.errors import ConfigError
from sdlora.methods.base import METHODS, Facts
from sdlora.methods.linear_classifier import HeadInit, HeadKind, LinearClassifier
from sdlora.task import Task

COLLAPSED = 1e-8  # squared length under which a row has no direction


@METHODS.register("coda_prompt")
class CODAPrompt(LinearClassifier):
    """Add C components to every prompted block on each task, orthogonal to all before; only the newest learn.

        weight_bm = cos(q_b * A_m, K_m),   q = backbone(x)
        p_b = sum_m weight_bm P_m          its first half prefixes the keys, its second half the values
        loss = cross-entropy + orthogonality * sum_blocks [O(K) + O(A) + O(P)],   O(X) = mean of (X X^T - I)^2

    No softmax and no choice: a weight may be negative, and all components up to the newest always take part.

    Args:
        backbone: Frozen throughout.
        layers: Prompted blocks; see `inject_prefixes` for backbones of fewer blocks.
        num_components: Components C a task adds to a block.
        prompt_length: Rows P of a component, even.
        orthogonality: Weight of the penalty; 0 in the authors' current code, as the start is orthogonal already.
        head: What predicts; this and the rest as in `sdlora.methods.linear_classifier.LinearClassifier`.
        head_init: How a new block of the linear head starts.
        head_lr_scale: Multiplies the learning rate of the linear head.

    Raises:
        ConfigError: If ``prompt_length`` is not positive and even, or ``num_components`` not positive.

    Source:
        Smith et al., arXiv 2211.13218, as in the authors' code. Differs: a task adds C components instead of its share
        of 100, so the number of tasks need not be known (10 tasks give the same shapes); old components and old rows
        of the head are frozen instead of left without gradient; the backbone normalises its input.
    """

    facts: Facts = Facts(
        trains="prompt components, their keys, the head",
        source="arXiv 2211.13218",
        rehearsal_free=True,
        one_pass=False,
        end_to_end=True,
    )
    mergeable: ClassVar[bool] = False

    def __init__(
        self,
        backbone: Backbone,
        *,
        layers: tuple[int, ...] = (0, 1, 2, 3, 4),
        num_components: int = 10,
        prompt_length: int = 8,
        orthogonality: float = 0.0,
        head: HeadKind = "linear",
        head_init: HeadInit = "default",
        head_lr_scale: float = 1.0,
    ) -> None:
        super().__init__(backbone, head=head, head_init=head_init, head_lr_scale=head_lr_scale)
        if prompt_length < 2 or prompt_length % 2:
            raise ConfigError(f"prompt_length = {prompt_length}", expected="2, 4, ...: half keys, half values")
        if num_components < 1:
            raise ConfigError(f"num_components = {num_components}", expected="1 or more")
        self.layers = inject_prefixes(backbone.model, layers)
        self.prompts = nn.ParameterList()  # each (S, C, P, D)
        self.keys = nn.ParameterList()  # each (S, C, D)
        self.attentions = nn.ParameterList()  # each (S, C, D)
        self.num_components, self.prompt_length, self.orthogonality = num_components, prompt_length, orthogonality

    def begin_task(self, task: Task) -> None:
        super().begin_task(task)
        if not len(self.prompts):  # a first task of one class, which trains nothing
            self.begin_adapting(task)
        cast(nn.Linear, self.head.blocks[-1]).reset_parameters()  # as the source: uniform within 1 / sqrt(D)

    def begin_adapting(self, task: Task) -> None:
        width = self.backbone.feature_dim
        self._grow(self.prompts, (self.prompt_length, width))
        self._grow(self.keys, (width,))
        self._grow(self.attentions, (width,))

    def trained(self) -> list[nn.Parameter]:
        return [self.prompts[-1], self.keys[-1], self.attentions[-1]]

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        terms = super().losses(images, labels)
        if self.orthogonality:
            rows = (_joined(self.keys), _joined(self.attentions), _joined(self.prompts).flatten(2))
            terms["orthogonality"] = self.orthogonality * sum((_overlap(X) for X in rows), rows[0].new_zeros(()))
        return terms

    def _grow(self, components: nn.ParameterList, shape: tuple[int, ...]) -> None:
        """Add C orthogonal components to each block; the trained ones are projected out as they are now."""
        old = _joined(components).detach().flatten(2).cpu() if len(components) else torch.zeros(len(self.layers), 0, 0)
        rows = torch.stack([_orthogonal_rows(X, self.num_components, math.prod(shape)) for X in old])
        new = torch.unflatten(rows, 2, shape).to(self.backbone.mean.device)
        components.requires_grad_(False).append(nn.Parameter(new))

    def features(self, images: Tensor) -> Tensor:
        """Return the class token (N, D) under each image's own prefixes."""
        with torch.no_grad():
            query = self.backbone(images)
        weights = _weights(query, _joined(self.attentions), _joined(self.keys))
        prompts = torch.einsum("nsf,sfpd->nspd", weights, _joined(self.prompts))
        with prefixed(by_layer(self.layers, torch.unflatten(prompts, 2, (2, -1)))):
            return cast(Tensor, self.backbone(images))


def _joined(components: nn.ParameterList) -> Tensor:
    """Return the components of all tasks (S, F, ...)."""
    return torch.cat([*components], dim=1)


def _weights(query: Tensor, attentions: Tensor, keys: Tensor) -> Tensor:
    """Return cos(q * A_m, K_m), (N, S, F), in float32 whatever the precision.

    <q * A, K / |K|> = <q, A * K / |K|> and |q * A|^2 = <q^2, A^2>, so nothing of shape (N, S, F, D) is made.
    """
    with torch.autocast(query.device.type, enabled=False):
        query = query.float()
        dots = torch.einsum("nd,sfd->nsf", query, attentions * F.normalize(keys, dim=2))
        squares = torch.einsum("nd,sfd->nsf", query.square(), attentions.square())
        return dots / squares.clamp_min(1e-24).sqrt()


def _overlap(rows: Tensor) -> Tensor:
    """Return O(X) summed over the blocks of X (S, F, d)."""
    with torch.autocast(rows.device.type, enabled=False):
        eye = torch.eye(rows.shape[1], device=rows.device)
        return (rows @ rows.mT - eye).square().mean(dim=(1, 2)).sum()


def _orthogonal_rows(old: Tensor, count: int, width: int) -> Tensor:
    """Draw unit rows orthogonal to each other and, as far as those are so, to old ones: classical Gram-Schmidt.

        u_c = v - sum_{j<c} (<v, u_j> / <u_j, u_j>) u_j,   v ~ N(0, I)

    Differs from the source where that would repeat its draw for ever: a collapsed old row is passed over, and once the
    rows span the whole space a new one is v itself.

    Args:
        old: (J, d), any lengths, or empty.
        count: Number of new rows.
        width: Their width d.
    """
    rows = old.reshape(-1, width)
    for _ in range(count):
        drawn, lengths = torch.randn(width), rows.square().sum(dim=1)
        basis = rows[lengths >= COLLAPSED]
        rest = drawn - (basis @ drawn / lengths[lengths >= COLLAPSED]) @ basis
        if rest.square().sum() < COLLAPSED * drawn.square().sum():
            rest = drawn
        rows = torch.cat([rows, rest[None]])
    return F.normalize(rows[len(rows) - count :], dim=1)
