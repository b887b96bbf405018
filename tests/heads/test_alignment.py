import math

import pytest
import torch
from torch import nn

from sdlora.heads.alignment import align, learning
from sdlora.heads.centroids import Centroids


def statistics(num_classes: int = 5, num_centroids: int = 3) -> Centroids:
    """Return classes whose first feature tells the class, with a small spread."""
    made = Centroids(4, num_centroids)
    made.grow(num_classes)
    made.means += torch.arange(num_classes)[:, None, None].float()
    made.variances += 0.04
    made.counts += num_centroids
    return made


class Recorder(nn.Linear):
    """A linear layer that keeps what it was given."""

    def __init__(self) -> None:
        super().__init__(4, 5)
        self.seen: list[torch.Tensor] = []

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        self.seen.append(features.detach())
        return super().forward(features)


def run(centroids: Centroids, **options) -> Recorder:
    torch.manual_seed(0)
    head = Recorder().requires_grad_(False)
    align(head, [*head.parameters()], centroids, **{"num_old": 3, "num_draws": 24, "lr": 0.01, **options})
    return head


def test_an_epoch_has_a_step_for_each_old_class():
    head = run(statistics(), epochs=30)
    assert [len(features) for features in head.seen] == [24] * (30 * 3)


def test_an_epoch_uses_no_draw_twice():
    head = run(statistics(2, 1), num_old=9, num_draws=8, epochs=1)  # two centroids: 16 draws in all
    assert [len(features) for features in head.seen] == [8, 8]
    classes = torch.cat(head.seen)[:, 0].round().tolist()
    assert (classes.count(0), classes.count(1)) == (8, 8)


def test_draws_have_the_stored_mean_and_variance_plus_a_little():
    made = statistics(2, 1)
    made.means[:] = torch.tensor([1.0, -2.0, 3.0, 0.0])
    made.variances[:] = torch.tensor([0.04, 0.25, 0.0, 1.0])
    drawn = torch.cat(run(made, num_draws=2000, num_old=2, epochs=5).seen)
    assert len(drawn) == 20_000
    assert torch.allclose(drawn.mean(dim=0), torch.tensor([1.0, -2.0, 3.0, 0.0]), atol=0.03)
    assert torch.allclose(drawn.var(dim=0), torch.tensor([0.04, 0.25, 0.0, 1.0]) + 1e-4, rtol=0.05, atol=1e-5)


def test_a_centroid_without_spread_is_passed_over():
    made = statistics(3, 2)
    made.variances[1, 0] = 0
    made.means[1, 0] = 77
    assert float(torch.cat(run(made).seen).max()) < 10


def test_with_nothing_to_draw_nothing_changes():
    empty = statistics()
    empty.counts.zero_()
    torch.manual_seed(0)
    fresh = Recorder()
    for made, num_old in ((empty, 3), (statistics(), 0)):
        head = run(made, num_old=num_old)
        assert head.seen == []
        assert torch.equal(head.weight, fresh.weight)


def test_steps_are_sgd_with_momentum_under_a_cosine():
    head, made = run(statistics(), epochs=4, lr=0.5), statistics()  # a decay of 5e-4 would be seen
    torch.manual_seed(0)
    twin = nn.Linear(4, 5)  # the same start; then the update rule by hand on the recorded features
    weights, momenta = [twin.weight.detach(), twin.bias.detach()], [torch.zeros(5, 4), torch.zeros(5)]
    for step, features in enumerate(head.seen):
        labels = (features[:, None] - made.means[:, 0]).square().sum(dim=2).argmin(dim=1)
        shares = (features @ weights[0].T + weights[1]).softmax(dim=1) - nn.functional.one_hot(labels, 5)
        gradients = [shares.T @ features / 24, shares.mean(dim=0)]
        lr = 0.5 * (1 + math.cos(math.pi * (step // 3) / 4)) / 2
        momenta = [0.9 * m + g for m, g in zip(momenta, gradients, strict=True)]
        weights = [w - lr * m for w, m in zip(weights, momenta, strict=True)]
    assert torch.allclose(head.weight, weights[0], atol=1e-5)
    assert torch.allclose(head.bias, weights[1], atol=1e-5)


def test_it_learns_the_classes():
    head = run(statistics(), num_old=15, lr=0.1, epochs=60)
    assert head(statistics().means[:, 0]).argmax(dim=1).tolist() == [0, 1, 2, 3, 4]


def test_learning_leaves_no_trace():
    layer = nn.Linear(2, 2)
    layer.weight.requires_grad_(False)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16), learning([*layer.parameters()]):
        out = layer(torch.ones(1, 2))
        assert out.dtype == torch.float32
        out.sum().backward()
        assert layer.weight.grad is not None
    assert [p.requires_grad for p in layer.parameters()] == [False, True]
    assert [p.grad for p in layer.parameters()] == [None, None]
    with pytest.raises(RuntimeError, match="stop"), learning([*layer.parameters()]):
        raise RuntimeError("stop")
    assert [p.requires_grad for p in layer.parameters()] == [False, True]
