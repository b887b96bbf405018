"""The discriminant start and the discriminant head against oracles in float64, written from their formulas."""

import copy

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from sdlora.errors import DataError
from sdlora.heads import LinearHead, discriminant
from sdlora.heads.discriminant import (
    LARGEST_GAP,
    SCALE,
    SHRINKAGE,
    STIFFNESS,
    DiscriminantHead,
    fitted_scale,
    left_out_distances,
    scatter,
    shrunk,
    start,
)

DIM = 5


def blobs(counts: list[int], seed: int = 0, spread: float = 0.7) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    labels = torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))
    centres = torch.randn(len(counts), DIM, generator=generator)
    mix = torch.randn(DIM, DIM, generator=generator)
    features = centres[labels] + spread * torch.randn(len(labels), DIM, generator=generator) @ mix
    order = torch.randperm(len(labels), generator=generator)
    return features[order], labels[order]


def fitted(parts: list[tuple[Tensor, Tensor]], num_classes: list[int]) -> DiscriminantHead:
    torch.manual_seed(0)
    head = DiscriminantHead(DIM)
    for (features, labels), count in zip(parts, num_classes, strict=True):
        head.grow(count)
        head.fit(features, labels)
    return head


def plain(head: DiscriminantHead) -> tuple[Tensor, Tensor]:
    """Return the rows without their contrasts, at the scale tau."""
    flatness = SCALE / head.scale
    return flatness * head.weight - head.contrast_weight, flatness * head.bias - head.contrast_bias


def oracle(features: Tensor, labels: Tensor, share: float) -> tuple[Tensor, Tensor]:
    """Return tau L and tau l of linear discriminant analysis on all features at once."""
    x, classes = features.double(), labels.unique()
    mu = torch.stack([x[labels == k].mean(0) for k in classes])
    within = sum((x[labels == k] - mu[i]).T @ (x[labels == k] - mu[i]) for i, k in enumerate(classes))
    covariance = within / (len(x) - len(classes))
    sigma = (1 - share) * covariance + share * covariance.trace() / x.shape[1] * torch.eye(x.shape[1]).double()
    weight = mu @ torch.linalg.inv(sigma)
    return SCALE * weight, -SCALE * (weight * mu).sum(1) / 2


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 6), st.integers(1, 12), st.integers(0, 10_000))
def test_the_gradients_of_the_rows_of_a_block_add_up_to_zero(num_classes, num_images, seed):
    """Why the mean row of a block never leaves its start, and so what the discriminant start is for."""
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    head = LinearHead(DIM)
    head.grow(3)
    head.grow(num_classes)
    features = torch.randn(num_images, DIM, generator=generator)
    labels = 3 + torch.randint(num_classes, (num_images,), generator=generator)
    head.loss(features, labels).backward()
    block = head.blocks[-1]
    size = float(block.weight.grad.abs().max())
    assert size > 0
    assert float(block.weight.grad.sum(0).abs().max()) < 1e-5 * max(size, 0.1)
    assert abs(float(block.bias.grad.sum())) < 1e-6


def test_a_block_starts_as_the_formula_says():
    features, labels = blobs([7, 9, 4])
    generator = torch.Generator().manual_seed(5)
    turned = torch.stack([features + torch.randn(features.shape, generator=generator) + turn for turn in range(3)])
    weight, bias = start(features, turned, labels, 3)

    x, z = features.double(), turned.double()
    mu = torch.stack([x[labels == k].mean(0) for k in range(3)])
    m = z.reshape(-1, DIM).mean(0) / 2
    within = torch.zeros(DIM, DIM, dtype=torch.float64)
    for group in (x, *z):
        for k in range(3):
            rest = group[labels == k] - group[labels == k].mean(0)
            within += rest.T @ rest
    n = len(x)
    share = max(0.2, DIM / (DIM + 4 * n))
    covariance = within / (4 * n - 12)
    sigma = (1 - share) * covariance + share * covariance.trace() / DIM * torch.eye(DIM).double()
    rows = (mu - m) @ torch.linalg.inv(sigma) / 4
    assert torch.allclose(weight.double(), rows, atol=1e-6)
    assert torch.allclose(bias.double(), -(rows * (mu + m)).sum(1) / 2, atol=1e-5)


def test_a_block_starts_with_logits_that_still_learn():
    features, labels = blobs([3, 3], spread=1e-3)
    weight, bias = start(features, torch.stack([features + 5] * 3), labels, 2)
    logits = features @ weight.T + bias
    assert float((logits.amax(1) - logits.amin(1)).max()) == pytest.approx(LARGEST_GAP, rel=1e-3)


def test_one_class_and_one_image_give_a_finite_start():
    features = torch.randn(1, DIM)
    weight, bias = start(features, torch.stack([features] * 3) * 2, torch.zeros(1, dtype=torch.long), 1)
    assert weight.shape == (1, DIM)
    assert torch.isfinite(weight).all()
    assert torch.isfinite(bias).all()


def test_head_is_linear_discriminant_analysis_of_all_tasks():
    features, labels = blobs([8, 9, 10, 7, 12])
    first = labels < 3
    head = fitted([(features[first], labels[first]), (features[~first], labels[~first])], [3, 2])
    weight, bias = oracle(features, labels, head.shrinkage)
    assert torch.allclose(plain(head)[0].double(), weight, atol=1e-5, rtol=1e-5)
    assert torch.allclose(plain(head)[1].double(), bias, atol=1e-4, rtol=1e-5)
    assert torch.allclose(head(features), features @ head.weight.T + head.bias)


def test_classes_that_come_again_count_as_if_all_had_come_at_once():
    features, labels = blobs([10, 11, 12])
    late = torch.arange(len(labels)) % 3 == 0
    twice = fitted([(features[~late], labels[~late]), (features[late], labels[late])], [3, 0])
    once = fitted([(features, labels)], [3])
    assert torch.allclose(twice.within, once.within, atol=1e-4)
    assert torch.allclose(twice.means, once.means, atol=1e-6)
    assert torch.equal(twice.counts, once.counts)


def test_leaving_an_image_out_in_closed_form_is_leaving_it_out():
    features, labels = blobs([4, 6, 5, 7], spread=1.0)
    sums = scatter(features, labels, 4)
    freedom = float(len(labels) - 4)
    for share in SHRINKAGE:
        sigma = shrunk(sums.within, freedom, share)
        found = left_out_distances(
            features.double(), labels, sums.means, sums.counts, sigma=sigma, part=(1 - share) / freedom
        )
        target = share * float((sums.within / freedom).diagonal().mean())
        for index in range(len(labels)):
            rest = torch.arange(len(labels)) != index
            without = scatter(features[rest], labels[rest], 4)
            left = (1 - share) * without.within / freedom + target * torch.eye(DIM).double()
            apart = features[index].double() - without.means
            assert torch.allclose(found[index], (apart @ torch.linalg.inv(left) * apart).sum(1), rtol=1e-6)


def test_the_scale_is_the_best_of_a_grid_less_the_price_of_moving():
    generator = torch.Generator().manual_seed(3)
    labels = torch.arange(200) % 4
    distances = 30 * torch.rand(200, 4, generator=generator).double()
    distances[torch.arange(200), labels] *= 0.7
    distances[:, 1] = torch.where(labels == 1, distances[:, 1], float("inf"))
    former, caution = 0.25, 20.0
    shifts = torch.linspace(-4, 4, 1601).double()
    losses = [
        F.cross_entropy(-former * shift.exp() / 2 * distances, labels, reduction="sum") + caution / 2 * shift**2
        for shift in shifts
    ]
    expected = former * float(shifts[int(torch.stack(losses).argmin())].exp())
    assert fitted_scale(distances, labels, former, caution) == pytest.approx(expected, rel=0.02)


def test_the_scale_is_bounded_where_every_image_is_right():
    distances = torch.tensor([[0.0, 1e9], [1e9, 0.0]]).double()
    assert fitted_scale(distances, torch.tensor([0, 1]), SCALE, 1.0) == pytest.approx(SCALE, rel=0.02)


def test_few_classes_among_many_move_the_scale_less(monkeypatch):
    asked = []
    monkeypatch.setattr(
        discriminant, "fitted_scale", lambda distances, labels, former, caution: asked.append(caution) or former
    )
    parts = [blobs([9] * 5), blobs([9] * 5, seed=1), blobs([9, 9], seed=2)]
    head = DiscriminantHead(DIM)
    for features, labels in parts:
        head.grow(len(labels.unique()))
        head.fit(features, labels + len(head.counts) - len(labels.unique()))
    number = len(SHRINKAGE)
    assert asked == [1.0] * 2 * number + [1 + 18 * (10 / 2 - 1)] * number
    distances, labels = torch.tensor([[4.0, 1.0], [1.0, 3.0]]).double(), torch.tensor([0, 1])
    monkeypatch.undo()
    near, far = fitted_scale(distances, labels, SCALE, 100.0), fitted_scale(distances, labels, SCALE, 1.0)
    assert far < near < SCALE


def test_probabilities_say_how_often_they_are_right():
    """Few images in many dimensions: without the scale, nearly every answer is certain."""
    generator, width = torch.Generator().manual_seed(4), 1000
    spread = torch.linspace(0.02, 1, width).square()
    centres = 0.3 * torch.randn(10, width, generator=generator)

    def drawn(labels: Tensor) -> Tensor:
        return (centres[labels] + torch.randn(len(labels), width, generator=generator)) * spread

    head = DiscriminantHead(width)
    head.grow(10)
    labels, names = torch.arange(10).repeat(5), torch.arange(10).repeat(100)
    torch.manual_seed(0)
    head.fit(drawn(labels), labels)
    logits = head(drawn(names))
    unscaled = SCALE / head.scale * logits
    assert torch.equal(unscaled.argmax(1), logits.argmax(1))
    accuracy = float((logits.argmax(1) == names).double().mean())
    before, after = (float(each.softmax(1).amax(1).mean()) for each in (unscaled, logits))
    assert before - accuracy > 0.06
    assert abs(after - accuracy) < 0.06


def test_shrinkage_is_that_of_the_most_hits_and_the_largest_of_equals():
    head = DiscriminantHead(DIM)
    head.left_out_hits = torch.tensor([3.0, 5.0, 5.0, 2.0, 1.0])
    assert head.shrinkage == SHRINKAGE[2]


def test_few_images_shrink_more_than_many():
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(10, 40, generator=generator)

    def share(per_class: int) -> float:
        labels = torch.arange(10).repeat(per_class)
        noise = torch.randn(len(labels), 40, generator=generator) * torch.linspace(0.2, 3, 40)
        torch.manual_seed(0)
        head = DiscriminantHead(40)
        head.grow(10)
        head.fit(centres[labels] + noise, labels)
        return head.shrinkage

    assert share(200) < share(3)


def test_the_contrast_is_stored_and_lowers_the_loss_within_its_task():
    features, labels = blobs([40, 40, 40], spread=1.2)
    head = fitted([(features, labels)], [3])
    weight, bias = plain(head)
    assert F.cross_entropy(head(features), labels) < F.cross_entropy(features @ weight.T + bias, labels)
    kept = head.contrast_weight[:3].clone()
    head.grow(2)
    more, names = blobs([30, 30], seed=4)
    head.fit(more, names + 3)
    assert torch.equal(head.contrast_weight[:3], kept)


def test_one_class_alone_has_no_contrast_and_is_learned():
    features, labels = blobs([30, 30, 30], spread=0.3)
    first = labels < 2
    head = fitted([(features[first], labels[first]), (features[~first], labels[~first])], [2, 1])
    assert not head.contrast_weight[2].any()
    assert (head(features).argmax(1) == labels).float().mean() > 0.9


@pytest.mark.parametrize("count", [1, 2])
def test_as_few_as_one_image_a_class(count):
    features, labels = blobs([count] * 4)
    head = fitted([(features, labels)], [4])
    assert torch.isfinite(head.weight).all()
    assert (head(features).argmax(1) == labels).all()


def test_refuses_a_task_without_images():
    head = DiscriminantHead(DIM)
    head.grow(2)
    with pytest.raises(DataError, match="without images"):
        head.fit(torch.empty(0, DIM), torch.empty(0, dtype=torch.long))


@pytest.mark.parametrize("watched", [60, DIM - 1])
def test_sums_follow_features_as_the_formula_says(watched, monkeypatch):
    monkeypatch.setattr(discriminant, "MOST_WATCHED", watched)
    features, labels = blobs([60, 60, 60], seed=2)
    old = labels < 2
    head = fitted([(features[old], labels[old])], [2])
    means, within = head.means.double(), head.within.double()
    before = features[~old]
    after = torch.tanh(before) + 0.3
    head.grow(1)
    head.watch(before)
    head._follow(after)
    chosen = torch.arange(60)[:: -(-60 // watched)]
    x, y = before[chosen].double(), after[chosen].double()
    gram = x.T @ x + STIFFNESS * x.square().sum(1).mean() * torch.eye(DIM).double()
    move = torch.eye(DIM).double() + torch.linalg.inv(gram) @ x.T @ (y - x)
    assert torch.allclose(head.means[:2].double(), means @ move, atol=1e-5)
    assert torch.allclose(head.within.double(), move.T @ within @ move, rtol=1e-4, atol=1e-3)
    assert not len(head.before)


def test_following_brings_the_means_nearer():
    features, labels = blobs([60, 60, 60], seed=2)
    old = labels < 2
    generator = torch.Generator().manual_seed(9)
    turn = torch.eye(DIM) + 0.1 * torch.randn(DIM, DIM, generator=generator)
    head = fitted([(features[old], labels[old])], [2])
    left_alone = copy.deepcopy(head)
    for one in (head, left_alone):
        one.grow(1)
    before = features[~old]
    head.watch(before)
    head.fit(before @ turn, labels[~old])
    left_alone.fit(before @ turn, labels[~old])
    there = fitted([(features[old] @ turn, labels[old])], [2]).means
    assert (head.means[:2] - there).norm() < 0.7 * (left_alone.means[:2] - there).norm()


def test_what_it_watches_survives_storing_in_the_middle_of_a_task(monkeypatch):
    monkeypatch.setattr(discriminant, "MOST_WATCHED", 20)
    features, labels = blobs([30, 30, 30], seed=2)
    old = labels < 2
    head = fitted([(features[old], labels[old])], [2])
    head.grow(1)
    head.watch(features[~old])
    assert len(head.before) == 15  # every second of thirty
    twin = DiscriminantHead(DIM)
    twin.grow(2)
    twin.grow(1)
    twin.load_state_dict(head.state_dict(), strict=True)
    for one in (head, twin):
        one.fit(features[~old] + 0.1, labels[~old])
    for key, value in head.state_dict().items():
        assert torch.equal(twin.state_dict()[key], value), key
