from teaching import make_tasks

from sdlora.backbones.vit import untrained_vit
from sdlora.methods import METHODS


def test_it_is_outside_the_protocol_and_says_so():
    kind = METHODS.get("joint")
    assert kind.joint
    assert not kind.facts.rehearsal_free
    assert [name for name in METHODS if METHODS.get(name).joint] == ["joint"]


def test_trains_backbone_and_head():
    method = METHODS.get("joint")(untrained_vit())
    method.begin_task(make_tasks(9)[0])
    assert sum(p.numel() for g in method.param_groups() for p in g["params"]) == sum(
        p.numel() for p in method.parameters()
    )
