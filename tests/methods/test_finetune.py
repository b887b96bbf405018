import torch
from teaching import make_tasks, teach

from sdlora.backbones.vit import untrained_vit
from sdlora.methods import METHODS


def test_every_weight_of_the_backbone_moves():
    method = METHODS.get("finetune")(untrained_vit())
    before = {name: p.detach().clone() for name, p in method.backbone.named_parameters()}
    teach(method, make_tasks(3))
    unmoved = [name for name, p in method.backbone.named_parameters() if torch.equal(p, before[name])]
    assert unmoved == []


def test_the_head_has_its_own_rate():
    method = METHODS.get("finetune")(untrained_vit(), head_lr_scale=10.0)
    method.begin_task(make_tasks(3)[0])
    assert [group.get("lr_scale", 1.0) for group in method.param_groups()] == [1.0, 10.0]
