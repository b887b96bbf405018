"""Shapes alone against methods that have really learned; and at ViT-B/16 the numbers that can be had by hand."""

from __future__ import annotations

import copy

import pytest
import torch
from teaching import make_tasks
from vits import vit_base

from sdlora.backbones.vit import load_backbone
from sdlora.costs import kept_numbers, teach_made_up
from sdlora.costs.footprint import count_learnable, footprint
from sdlora.costs.forward import as_served, count_flops, count_passes
from sdlora.methods import METHODS

pytestmark = pytest.mark.slow


TASKS = make_tasks(2, 3, 2)
PLAIN = 2 * (12 * (197 * 768 * 9216 + 2 * 197 * 197 * 768) + 196 * 768 * 768)  # FLOPs of ViT-B/16: blocks, patches
HEAD = 2 * 768 * 200
TOKEN = 12 * (2 * 768 * 9216) + 12 * 4 * 768 * (222 * 222 - 197 * 197) // 25  # of each of 25 tokens more
PREFIX = 4 * 197 * 768  # of a key with its value, in one block
IDENTITY = 2 * 2 * 768 * 1536  # the layer that tells tasks apart
COMPONENTS = 2 * 5 * 100 * (2 * 768 + 8 * 768)  # 100 in each of 5 blocks: weights, then their mixture


@pytest.mark.parametrize("name", METHODS.names())
def test_what_shapes_say_is_what_a_taught_method_takes(name):
    kind, tasks = METHODS.get(name), make_tasks(7) if METHODS.get(name).joint else TASKS
    found = footprint(kind(load_backbone("untrained_vit")), tasks)
    taught = kind(load_backbone("untrained_vit"))
    images, _ = teach_made_up(taught, tasks)
    with as_served(taught):
        assert found.flops == count_flops(taught, images[:1])
        assert found.passes == count_passes(taught, images)
    assert found.learnable == count_learnable(taught)
    assert found.kept == kept_numbers(taught)


def at_vit_base(name, num_tasks=20, **options):
    torch.manual_seed(0)
    return footprint(METHODS.get(name)(copy.deepcopy(vit_base()), **options), make_tasks(*[10] * num_tasks))


@pytest.mark.parametrize(
    ("name", "options", "learnable", "flops"),
    [
        ("probe", {}, 0, PLAIN + HEAD),
        ("finetune", {}, 85_798_656, PLAIN + HEAD),
        ("lora", {}, 24 * 2 * 768 * 10, PLAIN + HEAD),
        ("inflora", {}, 24 * 768 * 10, PLAIN + HEAD),  # one factor learns, the other is designed
        ("sdlora", {}, 24 * 2 * 768 * 10 + 20, PLAIN + HEAD),
        ("sdlora", {"rank_schedule": "paper"}, 24 * 2 * 768 * 6 + 20, PLAIN + HEAD),
        ("l2p", {}, 46_080, 2 * PLAIN + 25 * TOKEN + HEAD + 2 * 10 * 768),  # and a product with ten keys
        ("dualprompt", {}, 2 * 2 * 5 * 768 + 3 * 2 * 5 * 768 + 768, 2 * PLAIN + HEAD + 25 * PREFIX + 2 * 20 * 768),
        ("dualprompt", {"e_length": 20}, 15_360 + 92_160 + 768, 2 * PLAIN + HEAD + 70 * PREFIX + 2 * 20 * 768),
        ("hide_prompt", {}, 38_400, 2 * PLAIN + 2 * HEAD + IDENTITY + 5 * 5 * PREFIX),
        ("hide_prompt", {"prompt_length": 20}, 153_600, 2 * PLAIN + 2 * HEAD + IDENTITY + 5 * 20 * PREFIX),
        ("coda_prompt", {"num_components": 5}, 5 * 5 * 7680, 2 * PLAIN + HEAD + COMPONENTS + 5 * 4 * PREFIX),
    ],
)
def test_vit_base_by_hand(name, options, learnable, flops):
    found = at_vit_base(name, **options)
    assert found.learnable == learnable
    assert found.flops == flops
    assert found.passes == (2 if name in ("l2p", "dualprompt", "coda_prompt", "hide_prompt") else 1)


def test_prompts_of_ten_tasks_are_as_many_as_published():
    """In all, over the tasks of a run: the tables of arXiv 2204.04799 and 2211.13218 and their code."""

    def learnable(name, **options):
        method = METHODS.get(name)(copy.deepcopy(vit_base()), **options)
        method.begin_task(make_tasks(10)[0])
        return count_learnable(method)

    assert 10 * learnable("coda_prompt") == 3_840_000
    shared = 2 * 2 * 5 * 768
    for e_length, total in ((5, 253_440), (20, 944_640)):
        assert shared + 10 * (learnable("dualprompt", e_length=e_length) - shared) == total


def test_adapters_of_a_bottleneck():
    ease = at_vit_base("ease", 3)
    assert (ease.learnable, ease.passes, ease.kept) == (1_189_632, 3, 30 * 3 * 768)
    ranpac = METHODS.get("ranpac")(copy.deepcopy(vit_base()), projection_dim=100)
    assert footprint(ranpac, make_tasks(10)).learnable == 1_189_632
    assert footprint(METHODS.get("ranpac")(copy.deepcopy(vit_base()), projection_dim=100), TASKS).learnable == 0


def test_room_for_statistics():
    assert at_vit_base("inflora", 2).kept == 12 * (768 * 384 + 2)  # a basis of half the width, its size and side
    assert at_vit_base("hide_prompt", 2).kept == 20 * 2 * (10 * 2 * 768 + 1)  # two stores of centroids, with counts
