"""Small fits on features that a method runs by itself, outside the engine's training loop.

Letters: N batch, D feature width, G centroids, S draws.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sdlora.heads.centroids import Centroids

JITTER = 1e-4  # added to every variance


@contextmanager
def learning(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Let parameters take gradients inside this block, in full precision; afterwards all is as it was."""
    before = [parameter.requires_grad for parameter in parameters]
    for parameter in parameters:
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad(), torch.autocast(parameters[0].device.type, enabled=False):
            yield
    finally:
        for parameter, learns in zip(parameters, before, strict=True):
            parameter.grad = None
            parameter.requires_grad_(learns)


def align(
    classify: Callable[[Tensor], Tensor],
    parameters: Sequence[nn.Parameter],
    centroids: Centroids,
    *,
    num_old: int,
    num_draws: int,
    lr: float,
    epochs: int = 30,
) -> None:
    """Fit a classifier of all classes seen to features drawn around their centroids.

        feature ~ N(mean, diag(variance) + 1e-4 I),   S draws from every centroid with a spread

    An epoch shuffles the G S draws and takes batches of S until as many steps are done as there are old classes, so
    it uses a part of them alone; only what is used is drawn here. SGD, momentum 0.9, a cosine over the epochs.

    Args:
        classify: Features (N, D) to logits over all classes seen.
        parameters: What learns.
        centroids: Statistics of those classes.
        num_old: Classes of earlier tasks, steps of an epoch.
        num_draws: S, draws from a centroid and features in a batch.
        lr: Learning rate at the start.
        epochs: Passes.

    Source:
        Classifier alignment of HiDe-Prompt, as its code runs: its weight decay of 5e-4 is overridden by 0 there.
    """
    means, variances, labels = centroids.rows()
    spread = variances.mean(dim=1) != 0
    means, deviations, labels = means[spread], (variances[spread] + JITTER).sqrt(), labels[spread]
    num_features = min(num_old, len(means)) * num_draws  # never more than there are
    if not num_features:
        return
    with learning(parameters):
        optimizer = torch.optim.SGD(parameters, lr=lr, momentum=0.9)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs)
        for _ in range(epochs):
            drawn = torch.randperm(len(means) * num_draws)[:num_features] // num_draws
            for places in torch.split(drawn.to(means.device), num_draws):
                features = means[places] + deviations[places] * torch.randn_like(means[places])
                optimizer.zero_grad()
                F.cross_entropy(classify(features), labels[places]).backward()  # type: ignore[no-untyped-call]
                optimizer.step()
            schedule.step()
