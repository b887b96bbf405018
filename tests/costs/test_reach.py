import copy

import pytest
import torch

from sdlora.costs.reach import measure_reach


@pytest.mark.parametrize("name", ["sdlora", "finetune", "coda_prompt", "hide_prompt", "inflora"])
def test_the_task_loss_reaches_everything(taught, name):
    method, images, labels = taught(name)
    reach = measure_reach(method, images, labels)
    assert reach.end_to_end
    assert len(reach.trained) == sum(len(group["params"]) for group in method.param_groups())


@pytest.mark.parametrize(("name", "keys"), [("l2p", ("keys",)), ("dualprompt", ("keys.2",))])
def test_keys_learn_from_another_term(taught, name, keys):
    reach = measure_reach(*taught(name))
    assert reach.unreached == reach.unused == keys
    assert not reach.end_to_end


def test_a_head_that_is_dropped_does_not_predict(taught):
    reach = measure_reach(*taught("ease"))
    assert reach.unreached == ()
    assert reach.unused == ("training_head.weight", "training_head.sigma")
    assert not reach.end_to_end


@pytest.mark.parametrize("name", ["simplecil", "ranpac"])
def test_nothing_trained_is_not_end_to_end(taught, name):
    reach = measure_reach(*taught(name))
    assert reach.trained == ()
    assert not reach.end_to_end


def test_without_a_task_loss_nothing_is_reached(taught):
    method, images, labels = taught("probe")
    losses = method.losses
    method.losses = lambda images, labels: {"penalty": losses(images, labels)["cross_entropy"]}
    assert measure_reach(method, images, labels).unreached == ("head.blocks.2.weight", "head.blocks.2.bias")


def test_what_the_model_never_uses_is_not_trained(taught):
    method, images, labels = taught("finetune")
    number = len(measure_reach(method, images, labels).trained)
    method.backbone.model.spare = torch.nn.Parameter(torch.ones(3))
    reach = measure_reach(method, images, labels)
    assert any(parameter is method.backbone.model.spare for parameter in method.param_groups()[0]["params"])
    assert len(reach.trained) == number
    assert reach.end_to_end


def test_a_measurement_leaves_no_gradient(taught):
    method, images, labels = taught("sdlora")
    before = copy.deepcopy(method.state_dict())
    measure_reach(method, images, labels)
    assert all(parameter.grad is None for parameter in method.parameters())
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())
