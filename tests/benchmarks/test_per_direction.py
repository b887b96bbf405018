"""Both forms in activation space against the folded adapter; the loop is an oracle of the adapters' tests too."""

import pytest
import torch
from torch import nn

from benchmarks.per_direction import InActivations, loop_linear, normaliser
from sdlora.adapters import PRESETS, RankSchedule, SDLoRAAdapters, adapters_of


def adapted(num_tasks):
    torch.manual_seed(0)
    model = nn.ModuleDict({"qkv": nn.Linear(12, 36)}).double()
    ranks = RankSchedule.of(3, [[1, 2]])
    adapters = SDLoRAAdapters(model, ["qkv:q", "qkv:v"], preset=PRESETS.get("released"), ranks=ranks)
    for task in range(num_tasks):
        adapters.begin_task(task)
        for part in adapters.directions:
            nn.init.normal_(part.lora_B)
    nn.init.normal_(adapters.magnitudes.values)
    return adapters_of(model)["qkv"], adapters


@pytest.mark.parametrize("stacked", [False, True])
@pytest.mark.parametrize("num_tasks", [1, 4])
def test_the_other_forms_compute_what_the_adapter_computes(num_tasks, stacked):
    adapter, adapters = adapted(num_tasks)
    other = InActivations(adapter, stacked=stacked)
    x, G = torch.randn(2, 5, 12, dtype=torch.float64), torch.randn(2, 5, 36, dtype=torch.float64)
    gradients = []
    for form in (adapter, other):
        y = form(x.requires_grad_())
        gradients.append([y, *torch.autograd.grad(y, [x, *adapters.trained()], G)])
    for found, expected in zip(*gradients, strict=True):
        assert torch.allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_it_trains_the_parameters_of_the_adapter():
    adapter, adapters = adapted(3)
    pair = {id(p) for p in InActivations(adapter, stacked=False).parameters() if p.requires_grad}
    assert pair == {id(p) for p in adapters.trained()} - {id(adapters.magnitudes.values)}


def test_a_hand_computed_case():
    x, weight = torch.tensor([[1.0, 2.0]]), torch.zeros(2, 2)
    old, new = (torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0], [4.0]])), (torch.ones(1, 2), torch.ones(2, 1))
    magnitudes = torch.tensor([10.0, 100.0])
    y = loop_linear("released", x, weight, None, [(0, 2, [old, new])], magnitudes)
    assert y.tolist() == [[300.0, 310.0]]  # 10 * (3 * 4 * 1) / (3 * 4) on the second row, 100 * (1 + 2) on both
    assert loop_linear("continuous", x, weight, None, [(0, 2, [old])], magnitudes).tolist() == [[0.0, 120.0]]


def test_a_unit_direction_is_divided_by_its_norm_whatever_its_factors():
    A, B = torch.randn(2, 5), torch.randn(4, 2)
    norm = normaliser("paper", A, B, is_newest=True)
    assert torch.allclose(norm, (B @ A).square().sum().sqrt())
    assert float(normaliser("released", A, B, is_newest=False)) >= float(norm)
    assert float(normaliser("released", A, B, is_newest=True)) == 1
