"""L2P: prompt tokens from a pool, chosen for each image by the frozen feature.

Letters: N batch, D width, M prompts in the pool, S chosen, P tokens of a prompt.
"""

from __future__ import annotations

from typing import ClassVar, cast

import torch
from torch import Tensor, nn

from sdlora.adapters.prompt import class_position, cosine, highest, inject_prompt, prompted, uniform, vote
from sdlora.backbones.vit import Backbone
from sdlora.errors import ConfigError
from sdlora.methods.base import METHODS, Facts
from sdlora.methods.linear_classifier import HeadInit, HeadKind, LinearClassifier


@METHODS.register("l2p")
class L2P(LinearClassifier):
    """Put the S prompts whose keys are nearest to an image's own feature in front of its patches.

        S_b = the S keys of highest cosine to q_b = backbone(x_b)
        tokens = [class + p_0 ; P_j + p_0 for j in S_b ; patches],   feature = mean of the prompts' outputs
        loss = cross-entropy - pull * mean_b sum_{j in S_b} cos(q_b, K_j)

    p_0 is the class token's position embedding. Keys learn from the last term alone; one pool serves all tasks.

    Args:
        backbone: Frozen throughout.
        pool_size: Number M of prompts.
        prompt_length: Tokens P of a prompt.
        num_selected: Number S of prompts an image gets, at most M.
        pull: Weight of the cosine between query and chosen keys.
        batch_vote: Choose per batch instead of per image, as the published figures do. Then a prediction depends on
            its neighbours: only for reproduction.
        head: What predicts; this and the rest as in `sdlora.methods.linear_classifier.LinearClassifier`.
        head_init: How a new block of the linear head starts.
        head_lr_scale: Multiplies the learning rate of the linear head.

    Raises:
        ConfigError: If ``num_selected`` is not in 1..M.

    Source:
        Wang et al., arXiv 2112.08654, as in the authors' first release and its PyTorch version, CIFAR-100 setting.
        Differs: the choice is per image unless `batch_vote`; old rows of the head are frozen instead of masked, which
        is the same without weight decay; logits of unseen classes do not exist; the backbone normalises its input.
    """

    facts: Facts = Facts(
        trains="a pool of prompts, their keys, the head",
        source="arXiv 2112.08654",
        rehearsal_free=True,
        one_pass=False,
        end_to_end=False,
    )
    mergeable: ClassVar[bool] = False

    def __init__(
        self,
        backbone: Backbone,
        *,
        pool_size: int = 10,
        prompt_length: int = 5,
        num_selected: int = 5,
        pull: float = 0.1,
        batch_vote: bool = False,
        head: HeadKind = "linear",
        head_init: HeadInit = "default",
        head_lr_scale: float = 1.0,
    ) -> None:
        super().__init__(backbone, head=head, head_init=head_init, head_lr_scale=head_lr_scale)
        if not 1 <= num_selected <= pool_size:
            raise ConfigError(f"num_selected = {num_selected}", expected=f"1 to {pool_size}, the size of the pool")
        inject_prompt(backbone.model)
        device = backbone.mean.device
        self.prompts = uniform(pool_size, prompt_length, backbone.feature_dim, device=device)  # (M, P, D)
        self.keys = uniform(pool_size, backbone.feature_dim, device=device)  # (M, D)
        self.num_selected, self.pull, self.batch_vote = num_selected, pull, batch_vote

    def trained(self) -> list[nn.Parameter]:
        return [self.prompts, self.keys]

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        similarity, chosen = self._choose(images)
        nearness = similarity.gather(1, chosen).sum(dim=1).mean()  # a sum over the chosen keys, a mean over images
        return {
            "cross_entropy": self.head.loss(self._features(images, chosen), labels),
            "pull": -self.pull * nearness,
        }

    def features(self, images: Tensor) -> Tensor:
        _, chosen = self._choose(images)
        return self._features(images, chosen)

    def _choose(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the cosines (N, M) to all keys and the places (N, S) of the chosen ones."""
        with torch.no_grad():
            query = self.backbone(images)
        similarity = cosine(query, self.keys)
        chosen = highest(similarity, self.num_selected)
        return similarity, vote(chosen, len(self.keys)) if self.batch_vote else chosen

    def _features(self, images: Tensor, chosen: Tensor) -> Tensor:
        """Return the mean output (N, D) of the prompts' tokens; the class token's output is not used."""
        model = self.backbone.model
        prompt = self.prompts[chosen].flatten(1, 2) + class_position(model)  # (N, S P, D)
        with prompted(prompt):
            tokens = self.backbone.tokens(images)
        first = cast(int, model.num_prefix_tokens)
        return tokens[:, first : first + prompt.shape[1]].mean(dim=1)
