import numpy as np
import pytest
import torch

from sdlora.adapters.distill import fit_direction
from sdlora.adapters.pair import unit_pair
from sdlora.errors import NumericalError

D_IN, D_OUT = 10, 8


def unit(A, B):
    return unit_pair(A, B)[:2]


def draw(rank, generator):
    return unit(
        torch.randn(rank, D_IN, generator=generator, dtype=torch.float64),
        torch.randn(D_OUT, rank, generator=generator, dtype=torch.float64),
    )


def fit(new, old):
    ranks = torch.tensor([len(A) for A, _ in old], dtype=torch.int64)
    old_A = torch.cat([A for A, _ in old]) if old else torch.empty(0, D_IN)
    old_B = torch.cat([B for _, B in old], dim=1) if old else torch.empty(D_OUT, 0)
    return fit_direction(*new, old_A, old_B, ranks)


def dense(old):
    return np.stack([(B @ A).numpy().ravel() for A, B in old], axis=1)


def mix(shares, old):
    """Return one pair whose product is a sum of shares of old products."""
    return torch.cat([share * A for share, (A, _) in zip(shares, old, strict=True)]), torch.cat([B for _, B in old], 1)


def test_no_old_direction_explains_nothing():
    generator = torch.Generator().manual_seed(0)
    found = fit(draw(2, generator), [])
    assert (len(found.shares), found.rank) == (0, 0)
    assert found.residual == pytest.approx(1)


@pytest.mark.parametrize("seed", range(100))
def test_equals_dense_least_squares(seed):
    generator = torch.Generator().manual_seed(seed)
    old = [draw(1 + k % 3, generator) for k in range(1 + seed % 7)]
    new = draw(2, generator)
    found = fit(new, old)
    matrix, target = dense(old), (new[1] @ new[0]).numpy().ravel()
    shares, _, rank, _ = np.linalg.lstsq(matrix, target, rcond=None)
    assert found.rank == rank
    assert np.allclose(found.shares, shares, atol=1e-8)
    assert found.residual == pytest.approx(np.sum((matrix @ shares - target) ** 2), abs=1e-8)


@pytest.mark.parametrize("copies", ["equal", "near", "opposite"])
def test_dependent_directions_give_the_smallest_solution(copies):
    generator = torch.Generator().manual_seed(1)
    A, B = draw(2, generator)
    other = draw(3, generator)
    twin = {
        "equal": (A, B),
        "near": unit(A + 1e-8 * torch.randn(A.shape, generator=generator, dtype=torch.float64), B),
        "opposite": (-A, B),
    }[copies]
    found = fit(unit(*mix([1.0, 0.5], [(A, B), other])), [(A, B), twin, other])
    matrix = dense([(A, B), twin, other])
    target = mix([1.0, 0.5], [(A, B), other])
    target = (target[1] @ target[0]).numpy().ravel()
    smallest = np.linalg.lstsq(matrix, target / np.linalg.norm(target), rcond=1e-6)[0]
    assert found.rank == 2
    assert found.residual <= 1e-8
    assert float(found.shares.norm()) <= 10 * np.linalg.norm(smallest)
    assert np.allclose(found.shares, smallest, atol=1e-6)


def test_missing_directions_are_skipped():
    generator = torch.Generator().manual_seed(2)
    first, second, new = (draw(2, generator) for _ in range(3))
    gone = (torch.empty(0, D_IN), torch.empty(D_OUT, 0))
    found, expected = fit(new, [gone, first, gone, second]), fit(new, [first, second])
    assert torch.allclose(found.shares[[1, 3]], expected.shares)
    assert not found.shares[[0, 2]].any()
    assert found.residual == pytest.approx(expected.residual)
    assert fit(new, [gone, gone]).residual == pytest.approx(1)


def test_a_zero_direction_needs_nothing():
    generator = torch.Generator().manual_seed(3)
    A, B = draw(2, generator)
    found = fit((A * 0, B * 0), [(A, B)])
    assert found.residual == 0
    assert not found.shares.any()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_refuses_what_is_not_finite(value):
    generator = torch.Generator().manual_seed(4)
    old, (A, B) = draw(2, generator), draw(2, generator)
    A[0, 0] = value
    for new, basis in (((A, B), [old]), (old, [(A, B)])):
        with pytest.raises(NumericalError, match="not finite"):
            fit(new, basis)
