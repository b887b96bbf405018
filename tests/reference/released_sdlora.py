"""What the released SD-LoRA code computes and how it trains, by hand and in float64.

backbone/lora.py and models/sdlora.py @ 8bacded: sums over tasks in activation space; every task a new pair (down, up),
all magnitudes back at 0.8, a new SGD with momentum 0.9; cross-entropy over the logits of the task's own classes.
"""

from __future__ import annotations

import torch
from reference.vit import features
from torch import Tensor

MOMENTUM, START = 0.9, 0.8


class ReleasedLoop:
    """The whole learner: a backbone's weights, pairs by (block, part) and task, magnitudes, and one growing head."""

    def __init__(self, weights: dict[str, Tensor], *, depth: int, num_heads: int, patch: int) -> None:
        self.weights, self.depth, self.shape = weights, depth, {"num_heads": num_heads, "patch": patch}
        self.pairs: dict[tuple[int, str], list[tuple[Tensor, Tensor]]] = {}
        self.magnitudes: list[Tensor] = []
        self.head_weight: Tensor = torch.empty(0)
        self.head_bias: Tensor = torch.empty(0)
        self.known = 0

    def begin_task(self, pairs: dict[tuple[int, str], tuple[Tensor, Tensor]], weight: Tensor, bias: Tensor) -> None:
        """Take over new pairs and new rows of the head; what was drawn is given, since it is random."""
        for key, pair in pairs.items():
            old = [(down.detach(), up.detach()) for down, up in self.pairs.get(key, [])]
            self.pairs[key] = [*old, tuple(t.detach().double().clone().requires_grad_() for t in pair)]
        num_tasks = len(self.magnitudes) + 1
        self.magnitudes = [torch.tensor(START, dtype=torch.float64, requires_grad=True) for _ in range(num_tasks)]
        self.known = len(self.head_weight)
        rows = weight.detach().double().clone()
        grown = rows if not self.known else torch.cat([self.head_weight.detach(), rows])
        self.head_weight = grown.requires_grad_()
        self.head_bias = torch.cat([self.head_bias.detach(), bias.detach().double()]).requires_grad_()
        self.velocity: dict[int, Tensor] = {}

    def update(self, block: int, part: str, x: Tensor) -> Tensor:
        *old, (down, up) = self.pairs[block, part]
        total = self.magnitudes[-1] * (x @ down.T @ up.T)
        for magnitude, (d, u) in zip(self.magnitudes, old, strict=False):
            total = total + magnitude * (x @ d.T @ u.T) / (torch.linalg.norm(u) * torch.linalg.norm(d))
        return total

    def logits(self, images: Tensor) -> Tensor:
        found = features(self.weights, images.double(), depth=self.depth, update=self.update, **self.shape)
        return found @ self.head_weight.T + self.head_bias

    def step(self, images: Tensor, labels: Tensor, lr: float) -> float:
        """Take one step and return the loss before it."""
        logits = self.logits(images)[:, self.known :]
        chosen = logits[torch.arange(len(labels)), labels - self.known]
        loss = (torch.log(torch.exp(logits).sum(1)) - chosen).mean()
        newest = [factor for pairs in self.pairs.values() for factor in pairs[-1]]
        trained = [*self.magnitudes, *newest, self.head_weight, self.head_bias]
        for k, (tensor, grad) in enumerate(zip(trained, torch.autograd.grad(loss, trained), strict=True)):
            self.velocity[k] = grad if k not in self.velocity else MOMENTUM * self.velocity[k] + grad
            with torch.no_grad():
                tensor -= lr * self.velocity[k]
        return float(loss.detach())
