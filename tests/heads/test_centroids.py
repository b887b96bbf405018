import itertools

import pytest
import torch
from threadpoolctl import threadpool_limits

from sdlora.heads.centroids import Centroids


def blobs(count: int, size: int, width: int = 4) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    places = 10 * torch.arange(count)[:, None, None] * torch.ones(width)
    return (places + torch.randn(count, size, width, generator=generator)).double().flatten(0, 1)


def fitted(features: torch.Tensor, num_centroids: int, seed: int = 0) -> Centroids:
    torch.manual_seed(seed)
    statistics = Centroids(features.shape[1], num_centroids)
    statistics.grow(1)
    statistics.fit(features.float(), torch.zeros(len(features), dtype=torch.long))
    return statistics


def test_clusters_are_the_best_of_ten_starts():
    points = torch.rand(16, 2, generator=torch.Generator().manual_seed(1)).double()
    least = float("inf")
    for assignment in itertools.product((0, 1), repeat=15):  # the last point in the first cluster
        groups = torch.tensor([*assignment, 0])
        if groups.any():
            least = min(
                least,
                sum(float(points[groups == g].var(0, correction=0).sum()) * int((groups == g).sum()) for g in (0, 1)),
            )
    for seed in range(5):
        means = fitted(points, 2, seed).rows()[0].double()
        assert float(torch.cdist(points, means).amin(dim=1).square().sum()) == pytest.approx(least, rel=1e-5)


def test_a_fit_is_a_function_of_torchs_global_seed_whatever_the_number_of_threads():
    points = torch.rand(2000, 8, generator=torch.Generator().manual_seed(1))
    first = fitted(points, 10).rows()
    with threadpool_limits(4):
        again = fitted(points, 10).rows()
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    assert not torch.equal(fitted(points, 10, seed=1).rows()[0], first[0])


def test_points_that_coincide_make_one_centroid():
    means, variances, _ = fitted(torch.ones(9, 3), 3).rows()
    assert means.tolist() == [[1, 1, 1]]
    assert not variances.any()


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
