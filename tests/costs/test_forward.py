import copy

import pytest
import torch
from backbones.hugging_face_models import SHAPE, make
from teaching import make_tasks

from sdlora.backbones.vit import backbone_of, load_backbone
from sdlora.costs import teach_made_up
from sdlora.costs.forward import as_served, count_flops, count_passes, plain_classifier
from sdlora.methods import METHODS

# untrained_vit: 5 tokens of width 32, two blocks, MLP of 128, patches of 3 x 8 x 8
LINEAR = 5 * 32 * (96 + 32 + 2 * 128)
ATTENTION = 2 * 5 * 5 * 32
MULTIPLICATIONS = 4 * 192 * 32 + 2 * (LINEAR + ATTENTION)


def test_flops_of_a_plain_classifier_are_those_of_its_products():
    plain = plain_classifier(load_backbone("untrained_vit"), 10)
    image = torch.rand(1, 3, 16, 16)
    assert count_flops(plain, image) == 2 * (MULTIPLICATIONS + 320)
    assert count_flops(plain, image.expand(4, -1, -1, -1)) == 4 * 2 * (MULTIPLICATIONS + 320)


def test_an_adapted_backbone_that_learned_nothing_is_plain(taught):
    method, *_ = taught("lora")
    fresh = type(method)(load_backbone("untrained_vit")).backbone
    assert count_flops(plain_classifier(fresh, 10), torch.rand(1, 3, 16, 16)) == 2 * (MULTIPLICATIONS + 320)


@pytest.mark.parametrize("name", ["sdlora", "inflora", "lora", "finetune"])
def test_what_merges_costs_nothing(taught, name):
    method, images, _ = taught(name)
    with as_served(method):
        assert count_flops(method, images[:1]) == 2 * (MULTIPLICATIONS + 6 * 32)


def test_merging_for_a_measurement_leaves_no_trace(taught):
    method, images, _ = taught("sdlora")
    method.train()
    before, logits = copy.deepcopy(method.state_dict()), method(images)
    with as_served(method):
        assert not method.training
        assert not any("lora" in name for name, _ in method.named_parameters())
        assert torch.allclose(method(images), logits, atol=1e-5)
    assert method.training
    assert torch.equal(method(images), logits)
    assert all(torch.equal(value, before[key]) for key, value in method.state_dict().items())


@pytest.mark.parametrize(
    ("name", "passes"), [("probe", 1), ("sdlora", 1), ("ranpac", 1), ("l2p", 2), ("hide_prompt", 2), ("ease", 3)]
)
def test_passes_are_counted_not_declared(taught, name, passes):
    method, images, _ = taught(name)
    assert count_passes(method, images) == passes
    assert count_passes(method, images[:1]) == passes


def test_half_of_a_batch_is_half_a_pass(taught):
    method, images, _ = taught("probe")
    backbone = method.backbone
    method.forward = lambda batch: (backbone(batch), backbone(batch[: len(batch) // 2]))
    assert count_passes(method, images) == 1.5


def test_hooks_are_gone_afterwards(taught):
    method, images, _ = taught("probe")
    count_passes(method, images)
    assert not any(part._forward_pre_hooks for part in method.modules())


@pytest.mark.parametrize("name", ["ViTForImageClassification", "Dinov2Model", "CLIPModel"])
def test_passes_through_blocks_of_another_library(name):
    method = METHODS.get("probe")(backbone_of(make(name)))
    images, _ = teach_made_up(method, make_tasks(2))
    assert len(method.backbone.blocks) == SHAPE["num_hidden_layers"]
    assert count_passes(method, images) == 1
