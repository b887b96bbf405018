"""Counting hits against a loop over single images."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from reliability.small_run import Case, small_stream
from teaching import make_tasks, teach
from torch import nn
from vits import strong_vit

from sdlora.adapters.merge import merged
from sdlora.backbones.vit import load_backbone
from sdlora.engine.device import open_accelerator
from sdlora.engine.evaluate import evaluate
from sdlora.methods import METHODS
from sdlora.streams import PlainBatches

STREAM = small_stream()


@pytest.fixture
def accelerator():
    with open_accelerator(Case().options()) as made:
        yield made


def begun(num_tasks):
    torch.manual_seed(3)
    method = METHODS.get("probe")(load_backbone("untrained_vit"))
    for task in STREAM.tasks[:num_tasks]:
        method.begin_task(task)
    for block in method.head.blocks:
        nn.init.normal_(block.weight)
    return method


def test_hits_are_those_of_single_images(accelerator):
    method = begun(2)
    hits, totals = evaluate(method, STREAM, accelerator, num_seen=4, batch_size=3)
    expected = []
    for position in range(2):
        pairs = PlainBatches(STREAM.test(position), 1, 16)
        expected.append(sum(int(method(image).argmax()) == int(label) for image, label in pairs))
    assert hits == expected
    assert totals == [8, 8]
    assert 0 < sum(hits) < 16
    assert evaluate(method, STREAM, accelerator, num_seen=4, batch_size=256) == (hits, totals)


def test_the_batch_decides_where_images_vote_together(accelerator):
    torch.manual_seed(0)
    method, sizes = METHODS.get("l2p")(strong_vit(), num_selected=1, batch_vote=True), []
    for task in STREAM.tasks:
        method.begin_task(task)
    method._features = lambda images, chosen: sizes.append(len(images)) or F.one_hot(chosen[:, 0], 32).float()
    found = {size: evaluate(method, STREAM, accelerator, num_seen=4, batch_size=size)[0] for size in (1, 3, 8)}
    assert sizes == [1] * 16 + [3, 3, 2] * 2 + [8] * 2
    assert found[1] != found[8]


def test_confusions_are_those_of_single_images(accelerator):
    method, expected = begun(2), torch.zeros(4, 4, dtype=torch.int64)
    for position in range(2):
        for image, label in PlainBatches(STREAM.test(position), 1, 16):
            expected[int(label), int(method(image).argmax())] += 1
    found = torch.zeros(4, 4, dtype=torch.int64)
    hits, _ = evaluate(method, STREAM, accelerator, num_seen=4, batch_size=3, confusion=found)
    assert torch.equal(found, expected)
    assert int(found.trace()) == sum(hits)
    assert found.sum(dim=1).tolist() == [4] * 4


def test_groups_not_seen_are_none(accelerator):
    hits, totals = evaluate(begun(1), STREAM, accelerator, num_seen=2)
    assert (hits[1], totals) == (None, [8, None])


def test_a_joint_stream_is_measured_in_the_same_groups(accelerator):
    joined = STREAM.joined()
    assert evaluate(begun(2), joined, accelerator, num_seen=4) == evaluate(begun(2), STREAM, accelerator, num_seen=4)


@pytest.mark.parametrize("is_training", [True, False])
def test_the_mode_is_put_back(accelerator, is_training):
    method = begun(2).train(is_training)
    seen = []

    def stop():
        seen.append(method.training)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluate(method, STREAM, accelerator, num_seen=4, batch_size=4, on_batch=stop)
    assert seen == [False] * 3
    assert method.training == is_training
    evaluate(method, STREAM, accelerator, num_seen=4)
    assert method.training == is_training
    assert not torch.is_inference_mode_enabled()


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_a_head_on_several_blocks_is_exact_on_merged_weights_and_close_under_autocast(precision):
    method = METHODS.get("sdlora")(load_backbone("untrained_vit"), head="discriminant", layers="all")
    teach(method, make_tasks(2, 2)).eval()
    groups = [next(iter(PlainBatches(STREAM.test(position), 256, 16))) for position in range(2)]
    images, expected = groups[0][0], method(groups[0][0]).detach()
    with open_accelerator(replace(Case().options(), precision=precision)) as accelerator:
        hits, totals = evaluate(method, STREAM, accelerator, num_seen=4)
        with torch.inference_mode(), accelerator.autocast(), merged(method.backbone):
            found = method(images)
    assert found.dtype == torch.float32
    assert totals[:2] == [len(labels) for _, labels in groups]
    if precision == "float32":
        assert float((found - expected).abs().max() / expected.abs().max()) <= 1e-5
        assert hits[:2] == [int((method(images).argmax(1) == labels).sum()) for images, labels in groups]
    else:
        assert float((found - expected).abs().max() / expected.abs().max()) <= 0.05


class Watching:
    """Notes at each batch which projections of the first block's attention are merged."""

    def __init__(self, method):
        self.method, self.kinds = method, []

    def __call__(self):
        self.kinds.append(type(self.method.backbone.model.blocks[0].attn.qkv))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("name", ["sdlora", "lora", "inflora"])
def test_adapters_are_merged_meanwhile_and_count_the_same_hits(name, precision):
    torch.manual_seed(3)
    method = METHODS.get(name)(load_backbone("untrained_vit"), rank=4)
    for task in STREAM.tasks[:2]:
        method.begin_task(task)
        for parameter in method.parameters():
            if parameter.requires_grad:
                nn.init.normal_(parameter, std=0.3)
    state = {key: value.clone() for key, value in method.state_dict().items()}
    modules = [id(module) for module in method.modules()]
    watching = Watching(method)
    with open_accelerator(replace(Case().options(), precision=precision)) as accelerator:
        hits, _ = evaluate(method, STREAM, accelerator, num_seen=4, on_batch=watching)
        expected = []
        for position in range(2):
            with torch.inference_mode(), accelerator.autocast():
                pairs = PlainBatches(STREAM.test(position), 256, 16)
                expected.append(sum(int((method(images).argmax(1) == labels).sum()) for images, labels in pairs))
    assert hits == expected
    assert set(watching.kinds) == {nn.Linear}
    assert [id(module) for module in method.modules()] == modules
    assert all(torch.equal(method.state_dict()[key], value) for key, value in state.items())
