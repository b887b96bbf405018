import itertools

import pytest
import torch

from sdlora.heads.centroids import Centroids, k_means


def blobs(count: int, size: int, width: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    places = 10 * torch.arange(count)[:, None, None] * torch.ones(width)
    return (places + torch.randn(count, size, width, generator=generator)).double().flatten(0, 1)


def spread_of(points: torch.Tensor, groups: torch.Tensor) -> float:
    """Return the sum of squared distances to the own group's mean."""
    total = 0.0
    for group in set(groups.tolist()):
        own = points[groups == group]
        total += sum(float((point - own.mean(dim=0)).square().sum()) for point in own)
    return total


def test_k_means_finds_what_lies_apart():
    torch.manual_seed(0)
    groups = k_means(blobs(5, 8), 5).view(5, 8)
    assert all(len(set(row.tolist())) == 1 for row in groups)
    assert len(set(groups[:, 0].tolist())) == 5


def test_k_means_reaches_a_minimum_no_single_move_betters():
    points = torch.rand(12, 2, generator=torch.Generator().manual_seed(1)).double()
    best = min(
        spread_of(points, torch.tensor(groups)) for groups in itertools.product((0, 1), repeat=12) if any(groups)
    )
    found = []
    for seed in range(5):
        torch.manual_seed(seed)
        groups = k_means(points, 2)
        found.append(spread_of(points, groups))
        for place, point in enumerate(points):
            distances = [float((point - points[groups == group].mean(dim=0)).norm()) for group in (0, 1)]
            assert distances[groups[place]] == min(distances)
    assert min(found) == pytest.approx(best)


def test_points_that_coincide_make_one_cluster():
    assert len(k_means(torch.ones(6, 3).double(), 3).unique()) == 1


def test_a_centroid_is_the_mean_and_variance_of_its_cluster():
    torch.manual_seed(0)
    statistics = Centroids(4, num_centroids=3)
    statistics.grow(2)
    features = blobs(3, 5)
    statistics.fit(features.float(), torch.ones(15, dtype=torch.long))
    means, variances, labels = statistics.rows()
    assert labels.tolist() == [1, 1, 1]
    assert statistics.counts.tolist() == [0, 3]
    order = means[:, 0].argsort()
    for row, own in zip(order, features.view(3, 5, 4), strict=True):
        mean = sum(own) / 5
        assert torch.allclose(means[row].double(), mean, atol=1e-5)
        assert torch.allclose(variances[row].double(), sum((point - mean) ** 2 for point in own) / 5, atol=1e-5)


@pytest.mark.parametrize(("size", "count"), [(1, 1), (2, 1), (9, 4), (19, 9), (20, 10), (50, 10)])
def test_small_classes_get_fewer_centroids_and_one_of_them_a_spread(size, count):
    torch.manual_seed(0)
    statistics = Centroids(6)
    statistics.grow(1)
    statistics.fit(torch.rand(size, 6), torch.zeros(size, dtype=torch.long))
    assert statistics.counts.tolist() == [count]
    assert bool(statistics.rows()[1].any()) == (size > 1)


def test_growing_keeps_what_was_stored():
    torch.manual_seed(0)
    statistics = Centroids(4)
    statistics.grow(2)
    statistics.fit(blobs(2, 30).float(), torch.arange(60) // 30)
    before = statistics.rows()
    statistics.grow(3)
    assert all(torch.equal(old, new) for old, new in zip(before, statistics.rows(), strict=True))
    assert statistics.counts.tolist() == [10, 10, 0, 0, 0]
    assert {name: tuple(value.shape) for name, value in statistics.state_dict().items()} == {
        "means": (5, 10, 4),
        "variances": (5, 10, 4),
        "counts": (5,),
    }


def test_a_class_of_full_size_stores_30720_numbers_in_both_statistics():
    statistics = Centroids(768)
    statistics.grow(1)
    assert 2 * (statistics.means.numel() + statistics.variances.numel()) == 30_720
