"""HiDe-Prompt: a prefix for each task, a classifier that infers the task, and a head re-fitted on drawn features.

Letters: N batch, D width, T tasks seen, S prompted blocks, P prefix length (per key and per value), G centroids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import ClassVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdlora.adapters.prefix import by_layer, inject_prefixes, prefixed
from sdlora.adapters.prompt import uniform
from sdlora.backbones.vit import Backbone
from sdlora.errors import ConfigError
from sdlora.heads import LinearHead
from sdlora.heads.alignment import align
from sdlora.heads.centroids import Centroids
from sdlora.heads.identity import IdentityHead
from sdlora.methods.base import METHODS, Facts, Method, Origin, ParamGroup
from sdlora.task import Batches, Task, TaskData

TEMPERATURE = 0.8  # of the contrastive term
PASS = 24  # images of one class that the source's statistics see together
SHARE = 24 / 256  # by which the source scales every learning rate but that of the head's alignment
IDENTITY_DRAWS, HEAD_DRAWS = 24, 120  # from a centroid, in the two alignments


@METHODS.register("hide_prompt")
class HiDePrompt(Method):
    """Learn in three parts: which task an image is of, a prefix for each task, and one head over all classes.

    On task t:

    1. `prepare`: the identity head learns the task on frozen features; their centroids are stored; from the second
       task on it is aligned on features drawn around all centroids.
    2. `losses`: prefix and head learn, with e_t = (1 - momentum) P_t + momentum * mean_{i<t} e_i for every image, by
       cross-entropy + contrastive * CR; CR = mean over rows of cross-entropy(M M^T / 0.8, own index), where the rows of
       M are the stored centroids of older tasks' prompted features, then the batch's features.
    3. `end_task`: centroids of the prompted features are stored; from the second task on the head is aligned.

    At test an image gets the prefix of the task that holds the identity head's best class.

    Args:
        backbone: Frozen throughout.
        layers: Prompted blocks; see `inject_prefixes` for backbones of fewer blocks.
        prompt_length: Keys, and as many values, of a prefix in a block: 5 on CIFAR-100, 20 on ImageNet-R.
        momentum: Share of the older prefixes' mean.
        contrastive: Weight of CR.
        head_lr_scale: Multiplies the learning rate of the head.
        identity_lr: Learning rate of the identity head.
        port_layout: Mix up keys and values of a batch as the released code does, by a reshape in place of a transpose:
            where all images have one prefix, the first half gets its keys twice, the second its values. The statistics
            are then taken class by class, 24 shuffled images at a time, so that both halves hold every class. A
            prediction depends on its neighbours: only for reproduction.

    Raises:
        ConfigError: If ``momentum`` is not in 0..1.

    Source:
        Wang et al., arXiv 2310.07234, as in the authors' code. Differs: a prefix is added for each task, a copy of the
        last; e_t becomes P_t when the next task begins, not when its own ends, which is the same; the identity head
        sees one augmented view of each image for all its epochs; small classes get fewer centroids; logits of unseen
        classes do not exist; the backbone normalises its input.
    """

    facts: Facts = Facts(
        trains="one prefix a task, the head, an identity head",
        source="arXiv 2310.07234",
        rehearsal_free=False,  # keeps centroids of all classes
        one_pass=False,
        end_to_end=True,  # as the paper's Table 1 counts it: prefix and head; the identity head has its own loss
    )
    mergeable: ClassVar[bool] = False
    from_data: Mapping[str, Origin] = {"*_centroids.*": "statistics"}
    owners: Tensor

    def __init__(
        self,
        backbone: Backbone,
        *,
        layers: tuple[int, ...] = (0, 1, 2, 3, 4),
        prompt_length: int = 5,
        momentum: float = 0.01,
        contrastive: float = 0.1,
        head_lr_scale: float = 0.1,
        identity_lr: float = 5e-4 * SHARE,
        port_layout: bool = False,
    ) -> None:
        super().__init__(backbone)
        if not 0 <= momentum < 1:
            raise ConfigError(f"momentum = {momentum}", expected="a share from 0 to below 1")
        self.layers = inject_prefixes(backbone.model, layers)
        self.prompts = nn.ParameterList()  # each (S, 2, P, D); all but the newest hold e_i
        self.head = LinearHead(backbone.feature_dim)
        self.identity = IdentityHead(backbone.feature_dim)
        self.plain_centroids = Centroids(backbone.feature_dim)
        self.prompted_centroids = Centroids(backbone.feature_dim)
        self.register_buffer("owners", torch.zeros(0, dtype=torch.long), persistent=False)  # task of each class
        self.prompt_length, self.momentum, self.contrastive = prompt_length, momentum, contrastive
        self.head_lr_scale, self.identity_lr, self.port_layout = head_lr_scale, identity_lr, port_layout

    def begin_task(self, task: Task) -> None:
        shape = (len(self.layers), 2, self.prompt_length, self.backbone.feature_dim)
        prompt = uniform(*shape, device=self.backbone.mean.device)
        if len(self.prompts):
            with torch.no_grad():
                self.prompts[-1].copy_(self._prompt())
            prompt = nn.Parameter(self.prompts[-1].detach().clone())
        self.owners = torch.cat([self.owners, self.owners.new_full((task.num_classes,), len(self.prompts))])
        self.prompts.requires_grad_(False).append(prompt)
        for part in (self.head, self.identity, self.plain_centroids, self.prompted_centroids):
            part.grow(task.num_classes)

    def prepare(self, data: TaskData) -> None:
        features, labels, batch_size = _collect(data.train, self.backbone)
        self.identity.fit(features, labels, lr=self.identity_lr, batch_size=batch_size)
        self.plain_centroids.fit(*_collect(data.plain, self.backbone)[:2])
        self._align(self.identity, self.plain_centroids, num_draws=IDENTITY_DRAWS, lr=0.005 * SHARE)

    def losses(self, images: Tensor, labels: Tensor) -> dict[str, Tensor]:
        features = self._features(images, self._prompt()[None])
        terms = {"cross_entropy": self.head.loss(features, labels)}
        if self.contrastive:
            terms["contrastive"] = self.contrastive * _contrast(features, self.prompted_centroids.rows()[0])
        return terms

    def param_groups(self) -> list[ParamGroup]:
        head = [p for p in self.head.parameters() if p.requires_grad]
        return [{"params": [self.prompts[-1]]}, {"params": head, "lr_scale": self.head_lr_scale}]

    def end_task(self, data: TaskData) -> None:
        prompt = self._prompt().detach()[None]
        plain = _class_by_class(data.plain, PASS) if self.port_layout else data.plain
        features, labels, _ = _collect(plain, lambda images: self._features(images, prompt))
        self.prompted_centroids.fit(features, labels)
        self._align(self.head, self.prompted_centroids, num_draws=HEAD_DRAWS, lr=0.005)

    def report(self) -> dict[str, float | list[float]]:
        stored = (self.plain_centroids.rows()[0], self.prompted_centroids.rows()[0])
        return {"stored_statistics": float(sum(2 * means.numel() for means in stored))}  # means and variances

    def forward(self, images: Tensor) -> Tensor:
        with torch.no_grad():
            tasks = self.owners[self.identity(self.backbone(images)).argmax(dim=1)]
        prompts = torch.stack([*self.prompts[:-1], self._prompt()])[tasks]  # (N, S, 2, P, D)
        return cast(Tensor, self.head(self._features(images, prompts)))

    def _prompt(self) -> Tensor:
        """Return e_t of the newest task, (S, 2, P, D)."""
        newest, older = cast(Tensor, self.prompts[-1]), [*self.prompts[:-1]]
        if not older:
            return newest
        return (1 - self.momentum) * newest + self.momentum * torch.stack(older).detach().mean(dim=0)

    def _features(self, images: Tensor, prompts: Tensor) -> Tensor:
        """Return the class token (N, D) under prompts (N or 1, S, 2, P, D)."""
        if self.port_layout:
            prompts = _port_layout(prompts.expand(len(images), -1, -1, -1, -1))
        with prefixed(by_layer(self.layers, prompts)):
            return cast(Tensor, self.backbone(images))

    def _align(self, head: IdentityHead | LinearHead, centroids: Centroids, *, num_draws: int, lr: float) -> None:
        num_old = int((self.owners < len(self.prompts) - 1).sum())
        align(head, [*head.parameters()], centroids, num_old=num_old, num_draws=num_draws, lr=lr)


@torch.no_grad()
def _collect(
    batches: Iterable[tuple[Tensor, Tensor]], extract: Callable[[Tensor], Tensor]
) -> tuple[Tensor, Tensor, int]:
    """Return the features (N, D) of all images, their labels (N,), and the size of the largest batch."""
    pairs = [(extract(images).float(), labels) for images, labels in batches]
    features, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    return features, labels, max(len(ids) for _, ids in pairs)


def _class_by_class(batches: Batches, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield the same images in batches of one class and of `size`, each in random order; the last ones are smaller."""
    waiting: dict[int, Tensor] = {}
    for images, labels in batches:
        for label in torch.unique(labels).tolist():
            own = images[labels == label]
            found = torch.cat([waiting[label], own]) if label in waiting else own
            while len(found) > size:
                yield _shuffled(found[:size], label, labels)
                found = found[size:]
            waiting[label] = found.clone()  # a copy, so that the rest of the batch is not kept
    yield from (_shuffled(part, label, labels) for label, part in waiting.items())


def _shuffled(images: Tensor, label: int, labels: Tensor) -> tuple[Tensor, Tensor]:
    return images[torch.randperm(len(images))], labels.new_full((len(images),), label)


def _contrast(features: Tensor, centroids: Tensor) -> Tensor:
    """Return CR: every row of M = [centroids; features] is to be nearer to itself than to any other, by raw products.

    Labels play no part, so images of one class repel each other too; that is how the source runs.
    """
    with torch.autocast(features.device.type, enabled=False):
        rows = torch.cat([centroids, features.float()])
        return F.cross_entropy(rows @ rows.T / TEMPERATURE, torch.arange(len(rows), device=rows.device))


def _port_layout(prompts: Tensor) -> Tensor:
    """Give image b the entries 2b and 2b + 1 of all keys followed by all values, (N, S, 2, P, D)."""
    grid = prompts.permute(1, 2, 0, 3, 4)  # (S, 2, N, P, D)
    return grid.reshape(grid.shape[0], grid.shape[2], 2, *grid.shape[3:]).transpose(0, 1)
