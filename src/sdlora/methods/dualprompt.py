"""DualPrompt: one prefix for all tasks in the first blocks, one prefix a task in the next ones.

Letters: N batch, D width, T tasks seen, P prefix length (per key and per value), G and E numbers of prompted blocks.
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from sdlora.adapters.prefix import by_layer, inject_prefixes, prefixed
from sdlora.adapters.prompt import cosine, highest, uniform, vote
from sdlora.backbones.vit import Backbone
from sdlora.methods.base import METHODS, Facts
from sdlora.methods.linear_classifier import HeadInit, HeadKind, LinearClassifier
from sdlora.task import Task


@METHODS.register("dualprompt")
class DualPrompt(LinearClassifier):
    """Learn a general prefix on every task, an expert prefix on each, and a key by which an image finds its expert.

        training on task t:  expert t for every image
        test:                expert j*(x) = the key of highest cosine to q = backbone(x)
        loss = cross-entropy - pull * mean_b cos(q_b, key_t)

    A new expert starts as a copy of the one before it, a new key at random. The general prefix is never frozen.

    Args:
        backbone: Frozen throughout.
        g_layers: Blocks with the general prefix; see `inject_prefixes` for backbones of fewer blocks. A block with
            both has the general one in front.
        e_layers: Blocks with the expert prefix; all of them use the same expert.
        g_length: Keys, and as many values, of the general prefix in a block.
        e_length: The same for an expert: 5 on CIFAR-100, 20 on ImageNet-R.
        pull: Weight of the cosine between query and key.
        batch_vote: At test, one expert for the whole batch, as published for CIFAR-100. Then a prediction depends on
            its neighbours: only for reproduction.
        head: What predicts; this and the rest as in `sdlora.methods.linear_classifier.LinearClassifier`.
        head_init: How a new block of the linear head starts.
        head_lr_scale: Multiplies the learning rate of the linear head.

    Source:
        Wang et al., arXiv 2204.04799, as in the authors' code; its PyTorch versions mix up the prefixes of a batch by
        a reshape in place of a transpose, which is not repeated. Differs: experts and keys are added task by task, so
        test never compares with keys of tasks to come; the choice is per image unless `batch_vote`; old experts, keys
        and rows of the head are frozen instead of left without gradient; the backbone normalises its input.
    """

    facts: Facts = Facts(
        trains="a general and an expert prefix, keys, the head",
        source="arXiv 2204.04799",
        rehearsal_free=True,
        one_pass=False,
        end_to_end=False,
    )
    mergeable: ClassVar[bool] = False

    def __init__(
        self,
        backbone: Backbone,
        *,
        g_layers: tuple[int, ...] = (0, 1),
        e_layers: tuple[int, ...] = (2, 3, 4),
        g_length: int = 5,
        e_length: int = 5,
        pull: float = 1.0,
        batch_vote: bool = False,
        head: HeadKind = "linear",
        head_init: HeadInit = "default",
        head_lr_scale: float = 1.0,
    ) -> None:
        super().__init__(backbone, head=head, head_init=head_init, head_lr_scale=head_lr_scale)
        self.g_layers = inject_prefixes(backbone.model, g_layers)
        self.e_layers = inject_prefixes(backbone.model, e_layers)
        self.g_prompt = uniform(len(self.g_layers), 2, g_length, backbone.feature_dim, device=backbone.mean.device)
        self.e_prompts = nn.ParameterList()  # each (E, 2, P, D)
        self.keys = nn.ParameterList()  # each (D,)
        self.e_length, self.pull, self.batch_vote = e_length, pull, batch_vote

    def begin_task(self, task: Task) -> None:
        super().begin_task(task)
        if not len(self.e_prompts):  # a first task of one class, which trains nothing
            self.begin_adapting(task)

    def begin_adapting(self, task: Task) -> None:
        width, device = self.backbone.feature_dim, self.g_prompt.device
        expert = uniform(len(self.e_layers), 2, self.e_length, width, device=device)
        if len(self.e_prompts):
            expert = nn.Parameter(self.e_prompts[-1].detach().clone())
        self.e_prompts.requires_grad_(False).append(expert)
        self.keys.requires_grad_(False).append(uniform(width, device=device))

    def trained(self) -> list[nn.Parameter]:
        return [self.g_prompt, self.e_prompts[-1], self.keys[-1]]

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        nearness = cosine(self._query(images), self.keys[-1][None]).mean()
        return {
            "cross_entropy": self.head.loss(self.task_features(images), labels),
            "pull": -self.pull * nearness,
        }

    def task_features(self, images: Tensor) -> Tensor:
        return self._features(images, self.e_prompts[-1][None])

    def features(self, images: Tensor) -> Tensor:
        chosen = highest(cosine(self._query(images), torch.stack([*self.keys])), 1)  # (N, 1)
        if self.batch_vote:
            chosen = vote(chosen, len(self.keys))
        return self._features(images, torch.stack([*self.e_prompts])[chosen[:, 0]])  # experts (N, E, 2, P, D)

    @torch.no_grad()
    def _query(self, images: Tensor) -> Tensor:
        return cast(Tensor, self.backbone(images))

    def _features(self, images: Tensor, experts: Tensor) -> Tensor:
        """Return the class token (N, D) under the general prefix and the experts (N or 1, E, 2, P, D)."""
        with prefixed(by_layer(self.g_layers, self.g_prompt[None]), by_layer(self.e_layers, experts)):
            return cast(Tensor, self.backbone(images))
