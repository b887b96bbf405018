import torch
from teaching import make_tasks

from sdlora.backbones.vit import load_backbone
from sdlora.costs.made_up import PICTURES, STEPS, Patterns, teach_made_up
from sdlora.methods import METHODS


def test_every_class_is_in_each_batch_and_twice_the_same():
    _, task = make_tasks(2, 3)
    batches = list(Patterns(task, 16, torch.device("cpu")))
    assert len(batches) == STEPS
    for (images, labels), (again, _) in zip(batches, Patterns(task, 16, torch.device("cpu")), strict=True):
        assert images.shape == (3 * PICTURES, 3, 16, 16)
        assert 0 <= images.min() < images.max() <= 1
        assert labels.tolist() == [2, 3, 4] * PICTURES
        assert torch.equal(images, again)
    assert not torch.equal(batches[0][0], batches[1][0])


def test_every_hook_of_every_task_is_called():
    method, calls = METHODS.get("probe")(load_backbone("untrained_vit")), []
    for name in ("begin_task", "prepare", "losses", "end_task"):
        hook = getattr(method, name)
        setattr(method, name, lambda *args, name=name, hook=hook: (calls.append(name), hook(*args))[1])
    images, labels = teach_made_up(method, make_tasks(2, 2))
    assert calls == ["begin_task", "prepare", *["losses"] * STEPS, "end_task"] * 2
    assert set(labels.tolist()) == {2, 3}
    assert len(images) == len(labels)
    assert all(parameter.grad is None for parameter in method.parameters())


def test_what_trains_has_moved():
    torch.manual_seed(0)
    method = METHODS.get("lora")(load_backbone("untrained_vit"))
    teach_made_up(method, make_tasks(2))
    assert all(bool(pair.lora_B.any()) for pair in method.backbone.modules() if hasattr(pair, "lora_B"))
