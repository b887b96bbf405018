import torch
from teaching import make_tasks, teach

from sdlora.backbones.vit import untrained_vit
from sdlora.methods import METHODS


def test_only_the_newest_block_learns():
    method = METHODS.get("probe")(untrained_vit())
    first, second = make_tasks(3, 4)
    teach(method, [first])
    old = method.head.blocks[0].weight.detach().clone()
    method.begin_task(second)
    assert sum(p.numel() for g in method.param_groups() for p in g["params"]) == 33 * 4
    teach(METHODS.get("probe")(untrained_vit()), [first])
    assert torch.equal(method.head.blocks[0].weight, old)
