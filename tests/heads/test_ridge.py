import math

import pytest
import torch
from torch import Tensor

from sdlora.errors import NumericalError
from sdlora.heads.ridge import LAMBDAS, dual, least, primal, solve, squared_errors


def problem(num_rows: int, width: int, *, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    H = torch.randn(num_rows, width, generator=generator, dtype=torch.float64).clamp(min=0)
    return H, torch.nn.functional.one_hot(torch.arange(num_rows) % 3, 3).double()


def closed_form(H: Tensor, Y: Tensor, strength: float) -> Tensor:
    """Return ridge regression as least squares with sqrt(lambda) I below: no normal equations, so well conditioned."""
    width = H.shape[1]
    rows = torch.cat([H, math.sqrt(strength) * torch.eye(width, dtype=H.dtype)])
    return torch.linalg.lstsq(rows, torch.cat([Y, Y.new_zeros(width, Y.shape[1])]), driver="gelsd").solution


@pytest.mark.parametrize("strength", [1e-8, 1e-2, 1.0, 1e4])
@pytest.mark.parametrize(("num_rows", "width"), [(10, 40), (40, 10), (20, 20)])
def test_primal_and_dual_are_the_closed_form(num_rows, width, strength):
    H, Y = problem(num_rows, width)
    expected = closed_form(H, Y, strength)
    for path in (primal(H.T @ H, H.T @ Y), dual(H, Y)):
        assert torch.allclose(path.weight(strength), expected, rtol=1e-6, atol=1e-9)
    assert torch.allclose(solve(H.T @ H, H.T @ Y, strength), expected, rtol=1e-6, atol=1e-9)


def test_primal_and_dual_agree_closely():
    H, Y = problem(30, 30)
    first, second = primal(H.T @ H, H.T @ Y), dual(H, Y)
    assert torch.allclose(first.weight(1.0), second.weight(1.0), atol=1e-11)


@pytest.mark.parametrize("strength", [1e-8, 1e-4])
def test_solves_where_lambda_is_lost_in_rounding(strength):
    H, Y = problem(12, 60)
    H = 1e4 * H  # |H^T H| is near 1e10, of rank 12: Cholesky of H^T H + 1e-8 I cannot succeed
    expected = closed_form(H, Y, strength)
    assert torch.allclose(solve(H.T @ H, H.T @ Y, strength), expected, rtol=1e-5, atol=1e-12)


def test_errors_are_those_of_every_lambda():
    (H, Y), (val, wanted) = problem(20, 12), problem(9, 12, seed=1)
    errors = squared_errors(dual(H, Y), val, wanted)
    assert errors.shape == (17,)
    for error, strength in zip(errors, LAMBDAS, strict=True):
        residual = val @ closed_form(H, Y, strength) - wanted
        assert float(error) == pytest.approx(float((residual**2).sum()), rel=1e-5)


def test_the_grid_is_seventeen_powers_of_ten():
    assert [round(math.log10(strength)) for strength in LAMBDAS] == list(range(-8, 9))


def test_least_takes_the_smallest_of_equals_and_never_what_is_not_finite():
    errors = torch.full((17,), 2.0)
    assert least(errors) == 1e-8
    errors[[5, 9]] = 1.0
    assert least(errors) == LAMBDAS[5]
    errors[0], errors[5] = math.nan, math.inf
    assert least(errors) == LAMBDAS[9]
    with pytest.raises(NumericalError, match="no ridge regression"):
        least(torch.full((17,), math.nan))
