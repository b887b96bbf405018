import math

import pytest
import torch
from torch import nn

from sdlora.adapters.lora import LoRALinear
from sdlora.errors import ConfigError

ROWS = {"q": (0, 8), "v": (16, 24)}


def make(rank=3, alpha=6.0, dtype=torch.float32):
    torch.manual_seed(0)
    return LoRALinear(nn.Linear(8, 24, dtype=dtype), ROWS, rank=rank, alpha=alpha)


def test_starts_as_the_base():
    adapter, x = make(), torch.randn(2, 5, 8)
    assert torch.equal(adapter(x), adapter.base(x))


def test_equals_the_equation_with_its_gradients_in_float64():
    adapter, x = make(), torch.randn(9, 8)
    with torch.no_grad():
        for pair in adapter.pairs:
            pair.lora_B.normal_()
    y = adapter(x)
    y.square().sum().backward()
    exact = [[t.detach().double().requires_grad_() for t in (pair.lora_A, pair.lora_B)] for pair in adapter.pairs]
    z = x.double() @ adapter.base.weight.double().T + adapter.base.bias.double()
    q, v = (6.0 / 3 * (x.double() @ A.T @ B.T) for A, B in exact)
    z = z + torch.cat([q, torch.zeros_like(q), v], dim=1)
    z.square().sum().backward()
    assert torch.allclose(y.double(), z, rtol=1e-5, atol=1e-5)
    for pair, (A, B) in zip(adapter.pairs, exact, strict=True):
        assert float((pair.lora_A.grad - A.grad).norm() / A.grad.norm()) <= 1e-5
        assert float((pair.lora_B.grad - B.grad).norm() / B.grad.norm()) <= 1e-5


def test_only_the_pairs_learn_and_only_they_and_the_base_are_stored():
    adapter = make()
    trained = {name for name, p in adapter.named_parameters() if p.requires_grad}
    assert trained == {f"parts.{part}.lora_{factor}" for part in "qv" for factor in "AB"}
    assert set(adapter.state_dict()) == trained | {"base.weight", "base.bias"}
    assert float(adapter.pairs[0].lora_A.detach().abs().max()) <= 1 / math.sqrt(8)


def test_half_precision_base_learns_in_float32():
    assert make(dtype=torch.bfloat16).pairs[0].lora_A.dtype == torch.float32


def test_rank_above_the_width_is_refused():
    with pytest.raises(ConfigError, match="rank 9"):
        make(rank=9)
