import copy
import math
from itertools import pairwise

import pytest
import torch
from teaching import SIZE, FixedBatches, data_of, make_tasks, teach
from torch import Tensor
from vits import vit_base

from sdlora.adapters import adapters_of, merge
from sdlora.adapters.subspace import Subspace
from sdlora.adapters.subspace_lora import SubspaceLoRALinear
from sdlora.backbones.vit import load_backbone
from sdlora.errors import ConfigError
from sdlora.methods.inflora import InfLoRA
from sdlora.task import TaskData

TASKS = make_tasks(3, 3, 3, 3)
WIDTH = 32


def build(**options) -> InfLoRA:
    torch.manual_seed(0)
    return InfLoRA(load_backbone("untrained_vit"), **options)


def layers(method: InfLoRA) -> list[SubspaceLoRALinear]:
    return list(adapters_of(method.backbone).values())


def pictures(count: int = 5) -> Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(7))


def inputs_of(method: InfLoRA, batches: FixedBatches) -> list[Tensor]:
    """Return every token that enters each adapted layer: (n, D) a layer, float64."""
    seen: list[list[Tensor]] = [[] for _ in layers(method)]
    hooks = [
        layer.register_forward_hook(lambda _, args, __, into=into: into.append(args[0].flatten(0, 1)))
        for layer, into in zip(layers(method), seen, strict=True)
    ]
    with torch.no_grad():
        for images, _ in batches:
            method.backbone(images)
    for hook in hooks:
        hook.remove()
    return [torch.cat(tokens).double() for tokens in seen]


@pytest.mark.parametrize(("num_classes", "expected"), [(10, 192_010), (20, 199_700)])
def test_counts_at_vit_base(num_classes, expected):
    method = InfLoRA(copy.deepcopy(vit_base()))
    for task in make_tasks(num_classes, num_classes):
        method.begin_task(task)
        assert sum(p.numel() for g in method.param_groups() for p in g["params"]) == expected
    assert [tuple(subspace.columns.shape) for subspace in method.subspaces] == [(768, 384)] * 12
    assert [(layer.lora_A.shape, layer.lora_B.shape) for layer in layers(method)] == [((10, 768), (1536, 10))] * 12


def test_heads_start_as_torch_starts_them():
    method = build()
    method.begin_task(make_tasks(400)[0])
    block, bound = method.head.blocks[0], 1 / math.sqrt(WIDTH)
    for values in (block.weight, block.bias):
        assert bound * 0.97 < values.abs().max() <= bound


def test_branches_are_designed_from_the_augmented_images():
    method, task = build(rank=4), TASKS[0]
    train, plain = FixedBatches(task, seed=1), FixedBatches(task, seed=2)
    method.begin_task(task)
    expected = inputs_of(method, train)
    method.prepare(TaskData(train=train, plain=plain))
    for layer, tokens in zip(layers(method), expected, strict=True):
        C = sum(torch.outer(x, x) for x in tokens) / len(tokens)
        U = torch.linalg.svd(C)[0][:, :4]
        assert torch.allclose(layer.lora_A.double().abs(), U.T.abs() / math.sqrt(3), atol=1e-4)


def test_a_new_task_starts_from_the_old_function():
    method = teach(build(), TASKS[:2])
    before = method.backbone(pictures())
    data = data_of(TASKS[2])
    method.begin_task(TASKS[2])
    method.prepare(data)
    assert torch.allclose(method.backbone(pictures()), before, atol=1e-6)


def test_an_update_leaves_the_protected_directions_alone():
    """W x of an input that old tasks use stays: the update of the next task is zero on it."""
    method = teach(build(), TASKS[:2])
    protected = []
    for subspace in method.subspaces:
        assert 0 < subspace.num_protected < WIDTH
        protected.append(torch.eye(WIDTH).double() - subspace.free_part(torch.eye(WIDTH).double()))
    teach(method, TASKS[2:3], epochs=3)
    for layer, projector in zip(layers(method), protected, strict=True):
        update = layer.lora_B.detach().double() @ layer.lora_A.double()
        assert update.norm() > 1e-3
        assert (update @ projector).norm() < 1e-6 * update.norm()


def test_after_a_task_its_share_of_the_energy_is_protected():
    method = build(threshold=0.9, num_tasks=5)
    for task in TASKS:
        teach(method, [task])
        seen = inputs_of(method, data_of(task).train)
        for subspace, tokens in zip(method.subspaces, seen, strict=True):
            C = tokens.T @ tokens / len(tokens)
            left = float(subspace.free_part(C).square().sum() / C.square().sum())
            limit = 1 - method.share(task.index)
            assert left <= limit or task.index == 0
    assert all(after >= 1 for after in method.report()["protected"])
    assert len(method.report()["protected"]) == 2


def test_protection_uses_the_trained_branch():
    """Later layers see inputs that the branch of this very task has changed."""
    method, untrained = build(), build()
    teach(method, TASKS[:1], epochs=5, lr=0.5)
    untrained.begin_task(TASKS[0])
    last = [copy.deepcopy(method), untrained]
    moments = [inputs_of(m, data_of(TASKS[0]).train)[1] for m in last]
    assert not torch.allclose(*moments, atol=1e-3)
    again = copy.deepcopy(method.subspaces[1])
    again.count.zero_()
    again.is_free.fill_(False)
    again.protect(moments[0].T @ moments[0] / len(moments[0]), method.share(0))
    eye = torch.eye(WIDTH).double()
    assert torch.allclose(again.free_part(eye), method.subspaces[1].free_part(eye), atol=1e-4)


def test_protected_directions_only_grow():
    method, counts = build(), []
    for task in TASKS:
        teach(method, [task])
        counts.append(method.report()["protected"])
    assert all(b >= a for before, after in pairwise(counts) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("num_tasks", "expected"),
    [(None, [0.9] * 6), (4, [0.9, 0.925, 0.95, 0.975, 0.975, 0.975]), (1, [0.9] * 6)],
)
def test_eps_follows_the_schedule_and_never_reaches_one(num_tasks, expected):
    method = build(threshold=0.9, num_tasks=num_tasks)
    assert [method.share(task) for task in range(6)] == pytest.approx(expected)


def test_each_task_protects_its_own_share(monkeypatch):
    shares, protect = [], Subspace.protect
    monkeypatch.setattr(Subspace, "protect", lambda self, C, share: shares.append(share) or protect(self, C, share))
    teach(build(threshold=0.9, num_tasks=4), TASKS)
    assert shares == pytest.approx([0.9] * 2 + [0.925] * 2 + [0.95] * 2 + [0.975] * 2)


def test_old_branches_old_heads_and_queries_stay():
    method = teach(build(), TASKS[:2])
    base = {name: p.clone() for name, p in method.backbone.named_parameters() if "lora" not in name}
    branches = [torch.cat([layer.frozen_A, layer.lora_A]) for layer in layers(method)]
    head = [p.clone() for p in method.head.parameters()]
    teach(method, TASKS[2:])
    for name, p in method.backbone.named_parameters():
        assert "lora" in name or torch.equal(p, base[name])
    for layer, rows in zip(layers(method), branches, strict=True):
        assert torch.equal(layer.frozen_A[: len(rows)], rows)
        x = pictures(1).flatten()[:WIDTH]
        assert torch.equal(layer(x)[:WIDTH], layer.base(x)[:WIDTH])
    for before, after in zip(head, method.head.parameters(), strict=False):
        assert torch.equal(before, after)


def test_loss_is_over_the_current_classes_alone():
    method = teach(build(), TASKS[:1])
    method.begin_task(TASKS[1])
    images, labels = data_of(TASKS[1]).train.batches[0]
    (loss,) = method.losses(images, labels).values()
    logits = method(images)[:, 3:]
    expected = -torch.stack([torch.log_softmax(z, 0)[y - 3] for z, y in zip(logits, labels, strict=True)]).mean()
    assert torch.allclose(loss, expected, atol=1e-6)


def test_merges_into_the_plain_backbone():
    method = teach(build(), TASKS)
    merged = merge(method.backbone)
    assert not adapters_of(merged)
    assert torch.allclose(merged(pictures()), method.backbone(pictures()), atol=1e-5)


def test_adapts_keys_and_values_of_every_block():
    assert [layer.rows for layer in layers(build())] == [{"k": (32, 64), "v": (64, 96)}] * 2
    assert [layer.rows for layer in layers(build(targets=["blocks.0.attn.qkv:q"]))] == [{"q": (0, 32)}]


def test_head_learns_at_its_own_rate():
    method = build(head_lr_scale=2.0)
    method.begin_task(TASKS[0])
    assert [group.get("lr_scale", 1.0) for group in method.param_groups()] == [1.0, 2.0]


@pytest.mark.parametrize("options", [{"threshold": 1.0}, {"num_tasks": 0}, {"energy": "third"}, {"rank": 33}])
def test_refuses_what_makes_no_sense(options):
    with pytest.raises(ConfigError, match=next(iter(options))):
        build(**options)


def test_second_powers_are_an_option():
    counts = [teach(build(energy=energy), TASKS[:2]).report()["protected"] for energy in ("fourth", "second")]
    assert sum(counts[1]) > sum(counts[0])
