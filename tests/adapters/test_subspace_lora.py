import pytest
import torch
from torch import nn

from sdlora.adapters import inject, merge, remove
from sdlora.adapters.subspace_lora import SubspaceLoRALinear
from sdlora.errors import ConfigError

ROWS = {"k": (4, 8), "v": (8, 12)}


def filled(num_tasks: int, rank: int = 2) -> SubspaceLoRALinear:
    torch.manual_seed(0)
    layer = SubspaceLoRALinear(nn.Linear(5, 12), ROWS, rank=rank)
    for task in range(num_tasks):
        if task:
            layer.begin_branch()
        layer.lora_A.normal_()
        layer.lora_B.data.normal_()
    return layer


def test_adds_the_branches_of_all_tasks():
    layer, x = SubspaceLoRALinear(nn.Linear(5, 12), ROWS, rank=2), torch.randn(3, 5)
    weight = layer.base.weight.detach().double().clone()
    for task in range(3):
        if task:
            layer.begin_branch()
        layer.lora_A.normal_()
        layer.lora_B.data.normal_()
        weight[4:8] += layer.lora_B[:4].double() @ layer.lora_A.double()
        weight[8:12] += layer.lora_B[4:].double() @ layer.lora_A.double()
        expected = x.double() @ weight.T + layer.base.bias.double()
        assert torch.allclose(layer(x).double(), expected, atol=1e-5)
        assert torch.equal(layer(x)[:, :4], layer.base(x)[:, :4])  # queries stay


def test_a_new_branch_changes_nothing():
    layer, x = filled(2), torch.randn(3, 5)
    before = layer(x)
    layer.begin_branch()
    assert not layer.lora_B.any()
    assert not layer.lora_A.any()
    assert torch.allclose(layer(x), before, atol=1e-6)


def test_only_the_newest_branch_learns():
    layer = filled(3)
    assert [name for name, p in layer.named_parameters() if p.requires_grad] == ["lora_B"]
    assert layer.lora_B.shape == (8, 2)
    assert layer.frozen_A.shape == (4, 5)
    assert layer.frozen_B.shape == (8, 4)
    layer(torch.randn(3, 5)).square().sum().backward()
    assert layer.lora_B.grad.any(dim=1).all()
    assert layer.base.weight.grad is None


def test_gradient_is_that_of_the_equation():
    layer, x = filled(2).double(), torch.randn(3, 5).double()
    layer(x).square().sum().backward()
    B = layer.lora_B.detach().clone().requires_grad_()
    weight = layer.base.weight.detach().clone()
    weight[4:] += layer.frozen_B @ layer.frozen_A
    y = x @ weight.T + layer.base.bias.detach()
    (torch.cat([y[:, :4], y[:, 4:] + x @ layer.lora_A.T @ B.T], dim=1)).square().sum().backward()
    assert torch.allclose(layer.lora_B.grad, B.grad, rtol=1e-10)


def test_merges_and_comes_off():
    model = nn.Sequential(nn.Linear(5, 12), nn.GELU())
    base = model[0]
    inject(model, ["0:k", "0:v"], lambda linear, rows: SubspaceLoRALinear(linear, rows, rank=2))
    model[0].lora_A.normal_()
    model[0].lora_B.data.normal_()
    x = torch.randn(3, 5)
    merged = merge(model)
    assert type(merged[0]) is nn.Linear
    assert torch.allclose(merged(x), model(x), atol=1e-6)
    remove(model)
    assert model[0] is base


@pytest.mark.parametrize("rank", [0, 5])
def test_refuses_a_rank_beyond_the_widths(rank):
    with pytest.raises(ConfigError, match="rank"):
        SubspaceLoRALinear(nn.Linear(5, 12), ROWS, rank=rank)
