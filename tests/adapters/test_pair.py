import math

import pytest
import torch

from sdlora.adapters.pair import NEGLIGIBLE, check_rank, new_pair, unit_pair
from sdlora.errors import ConfigError

SIZES = [0.0, 1e-30, 1.0, 1e30]


def draw(rank, dtype=torch.float32, num_inputs=20, num_outputs=12, seed=0):
    generator = torch.Generator().manual_seed(seed)
    A = torch.randn(rank, num_inputs, generator=generator, dtype=torch.float64).to(dtype)
    return A, torch.randn(num_outputs, rank, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize("rank", [1, 3, 12])
def test_unit_pair_has_norm_one_and_gives_the_norm(rank):
    A, B = draw(rank)
    unit_A, unit_B, norm = unit_pair(A, B)
    dense = B.double() @ A.double()
    assert float(norm) == pytest.approx(float(dense.norm()), rel=1e-6)
    assert torch.allclose((unit_B @ unit_A).double(), dense / dense.norm(), atol=1e-6)
    assert float(unit_A.norm()) == pytest.approx(1, rel=1e-6)


def test_unit_pair_by_factors_divides_by_the_product_of_the_norms():
    A, B = draw(3)
    unit_A, unit_B, norm = unit_pair(A, B, "factors")
    assert torch.allclose(unit_B @ unit_A, B @ A / (B.norm() * A.norm()), atol=1e-6)
    assert float(norm) == pytest.approx(float((B @ A).norm()), rel=1e-5)


@pytest.mark.parametrize("scale", [1e-4, 1.0, 1e8])
def test_gradients_pass_through_the_normalisation(scale):
    A, B = (t.requires_grad_() for t in draw(3))
    with torch.no_grad():
        B *= scale
    exact_A, exact_B = (t.detach().double().requires_grad_() for t in (A, B))
    G = torch.randn(12, 20, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    unit_A, unit_B, _ = unit_pair(A, B)
    (unit_B @ unit_A * G).sum().backward()
    dense = exact_B @ exact_A
    (dense / torch.linalg.matrix_norm(dense) * G).sum().backward()
    assert torch.allclose(A.grad.double(), exact_A.grad, rtol=1e-4, atol=1e-5 * float(exact_A.grad.abs().max()))
    assert torch.allclose(B.grad.double(), exact_B.grad, rtol=1e-4, atol=1e-5 * float(exact_B.grad.abs().max()))


@pytest.mark.parametrize("by", ["product", "factors"])
@pytest.mark.parametrize("size_A", SIZES)
@pytest.mark.parametrize("size_B", SIZES)
@pytest.mark.parametrize("equal_rows", [False, True])
def test_finite_for_zero_tiny_and_huge_factors(by, size_A, size_B, equal_rows):
    A, B = draw(3)
    if equal_rows:
        A, B = A[:1].expand_as(A), B[:, :1].expand_as(B)
    A, B = (A * size_A).requires_grad_(), (B * size_B).requires_grad_()
    unit_A, unit_B, norm = unit_pair(A, B, by)
    direction = unit_B @ unit_A
    (direction * torch.arange(20.0)).sum().backward()
    for tensor in (unit_A, unit_B, A.grad, B.grad):
        assert torch.isfinite(tensor).all()
    if norm <= NEGLIGIBLE:
        assert not direction.any()
        assert not A.grad.any()
        assert not B.grad.any()
    elif by == "product":
        assert float(direction.detach().norm()) == pytest.approx(1, rel=1e-5)


def test_empty_pair():
    unit_A, unit_B, norm = unit_pair(torch.empty(0, 20), torch.empty(12, 0))
    assert (unit_A.shape, unit_B.shape, float(norm)) == ((0, 20), (12, 0), 0.0)


def test_autocast_does_not_coarsen_the_norm():
    A, B = draw(3)
    with torch.autocast("cpu", torch.bfloat16):
        inside = unit_pair(A, B)
    for found, expected in zip(inside, unit_pair(A, B), strict=True):
        assert torch.equal(found, expected)


def test_new_pair_starts_as_linear_layers_do():
    torch.manual_seed(0)
    A, B = new_pair(50, 400, 300, zero_B=False, dtype=torch.float32, device=torch.device("cpu"))
    for factor, fan_in in ((A, 400), (B, 50)):
        bound = 1 / math.sqrt(fan_in)
        assert float(factor.detach().abs().max()) <= bound
        assert float(factor.detach().var()) == pytest.approx(bound**2 / 3, rel=0.05)
    assert (A.shape, B.shape) == ((50, 400), (300, 50))
    _, zero = new_pair(50, 400, 300, zero_B=True, dtype=torch.float32, device=torch.device("cpu"))
    assert not zero.any()
    assert zero.requires_grad


@pytest.mark.parametrize("rank", [-1, 0, 7])
def test_refuses_an_impossible_rank(rank):
    with pytest.raises(ConfigError, match=f"rank {rank} .* width 9 -> 6\nExpected: 1 to 6"):
        check_rank(rank, 9, 6)
    check_rank(6, 9, 6)
