import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from sdlora.adapters.adapter import LinearAdapter, parameter_dtype
from sdlora.adapters.folded import Factor


class Shift(LinearAdapter):
    """Adds a fixed product to some rows."""

    def __init__(self, base, rows):
        super().__init__(base, rows)
        self.A, self.B = nn.Parameter(torch.ones(1, base.in_features)), nn.Parameter(torch.full((2, 1), 0.5))

    def factors(self):
        return [Factor(rows, torch.ones(1), self.A, self.B) for rows in self.rows.values()]


def test_adds_its_factors_to_the_named_rows():
    base = nn.Linear(4, 6)
    x = torch.randn(3, 4)
    y = Shift(base, {"middle": (2, 4)})(x)
    assert torch.allclose(y[:, 2:4], base(x)[:, 2:4] + 0.5 * x.sum(1, keepdim=True), atol=1e-6)
    assert torch.equal(y[:, :2], base(x)[:, :2])
    assert torch.equal(y[:, 4:], base(x)[:, 4:])


def test_the_base_stays_what_it_is_but_frozen():
    base = nn.Linear(4, 6)
    before = copy.deepcopy(base.state_dict())
    adapter = Shift(base, {"middle": (2, 4)})
    adapter(torch.randn(3, 4)).sum().backward()
    assert adapter.base is base
    assert not base.weight.requires_grad
    assert base.weight.grad is None
    assert base.bias.grad is None
    assert all(torch.equal(base.state_dict()[key], value) for key, value in before.items())


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_merged_is_plain_and_computes_the_same_bits(bias, dtype):
    adapter = Shift(nn.Linear(4, 6, bias=bias, dtype=dtype), {"first": (0, 2), "last": (4, 6)}).eval()
    random_state = torch.get_rng_state()
    merged = adapter.merged()
    x = torch.randn(3, 4, dtype=dtype)
    assert type(merged) is nn.Linear
    assert merged.weight.dtype == dtype
    assert merged.bias is adapter.base.bias
    assert not merged.training
    assert not merged.weight.requires_grad
    assert torch.equal(merged(x), adapter(x))
    assert torch.equal(F.linear(x, merged.weight, merged.bias), merged(x))
    torch.set_rng_state(random_state)
    adapter.merged()
    assert torch.equal(torch.get_rng_state(), random_state)


def test_learns_in_float32_at_least():
    assert parameter_dtype(nn.Linear(2, 2, dtype=torch.bfloat16)) == torch.float32
    assert parameter_dtype(nn.Linear(2, 2, dtype=torch.float64)) == torch.float64
