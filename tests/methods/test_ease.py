import copy

import pytest
import torch
from teaching import SIZE, FixedBatches, data_of, make_tasks, teach
from torch import Tensor
from vits import vit_base

from sdlora.adapters.bottleneck import using
from sdlora.backbones.vit import load_backbone
from sdlora.heads import PrototypeHead
from sdlora.methods.ease import EASE
from sdlora.task import TaskData

TASKS = make_tasks(3, 2, 4)


def build(**options) -> EASE:
    torch.manual_seed(0)
    return EASE(load_backbone("untrained_vit"), **options)


def pictures(count: int = 5) -> Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(7))


def count_passes(method: EASE) -> list[int]:
    passes: list[int] = []
    method.backbone.register_forward_hook(lambda *_: passes.append(1))
    return passes


def test_counts_at_vit_base():
    method = EASE(copy.deepcopy(vit_base()))
    for task in make_tasks(5, 7):
        method.begin_task(task)
        trained = sum(p.numel() for group in method.param_groups() for p in group["params"])
        assert trained == 1_189_632 + 768 * task.num_classes + 1
    assert sum(p.numel() for p in method.adapters.parameters()) == 2 * 1_189_632
    assert method.head.means.shape == (12, 2, 768)


def test_a_fresh_adapter_changes_no_bit():
    method, plain = build(), load_backbone("untrained_vit")
    teach(method, TASKS[:1])
    method.begin_task(TASKS[1])
    assert torch.equal(method.backbone(pictures()), plain(pictures()))
    with using(0):
        assert not torch.allclose(method.backbone(pictures()), plain(pictures()))


def test_after_one_task_it_is_the_nearest_class_mean():
    method = teach(build(), TASKS[:1])
    head = PrototypeHead(32)
    head.grow(3)
    with torch.no_grad():
        head.fit((method.backbone(images), labels) for images, labels in data_of(TASKS[0]).plain)
    assert torch.allclose(method(pictures()), head(method.backbone(pictures())), atol=1e-6)


def test_each_cell_is_the_mean_under_its_adapter():
    method = teach(build(), TASKS)
    for task in TASKS:
        for j in range(task.index + 1):
            with torch.no_grad(), using(j):
                pairs = [(method.backbone(images), labels) for images, labels in data_of(task).plain]
            features, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
            for c in range(task.class_offset, task.num_seen):
                assert torch.allclose(method.head.means[c, j], features[labels == c].mean(0), atol=1e-5)


def test_means_come_from_plain_images():
    method, task = build(), TASKS[0]
    plain = FixedBatches(task, seed=1)
    method.begin_task(task)
    method.end_task(TaskData(train=FixedBatches(task, seed=2), plain=plain))
    with torch.no_grad():
        pairs = [(method.backbone(images), labels) for images, labels in plain]
    features, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
    for c in range(3):
        assert torch.allclose(method.head.means[c, 0], features[labels == c].mean(0), atol=1e-6)


def test_passes_grow_with_the_tasks_at_test_alone():
    method = build()
    passes = count_passes(method)
    for task in TASKS:
        data = data_of(task)
        method.begin_task(task)
        passes.clear()
        method.losses(*data.train.batches[0])
        assert len(passes) == 1
        method.end_task(data)
        assert len(passes) == 1 + len(data.plain) * (task.index + 1)
        passes.clear()
        method(pictures())
        assert len(passes) == task.index + 1


def test_old_adapters_and_measured_cells_keep_their_bits():
    method = teach(build(), TASKS[:2])
    adapters = {name: p.clone() for name, p in method.adapters.named_parameters()}
    means = method.head.means.clone()
    teach(method, TASKS[2:])
    after = dict(method.adapters.named_parameters())
    for name, value in adapters.items():
        assert torch.equal(after[name], value)
    assert torch.equal(method.head.means[:3, 0], means[:3, 0])
    assert torch.equal(method.head.means[3:5, :2], means[3:5])


def test_logits_are_the_weighted_cosines_of_all_subspaces():
    method, alpha = teach(build(alpha=0.3), TASKS), 0.3
    features = []
    for j in range(3):
        with using(j):
            features.append(method.backbone(pictures()).detach())
    logits, P = method(pictures()), method.head.means
    for c, i in enumerate([0, 0, 0, 1, 1, 2, 2, 2, 2]):
        cosines = [torch.cosine_similarity(features[j], P[c, j][None], dim=1) for j in range(3)]
        expected = cosines[i] + alpha / 2 * sum(cosines[j] for j in range(3) if j != i)
        assert torch.allclose(logits[:, c], expected, atol=1e-5)


def test_an_adapter_under_training_does_not_touch_the_logits():
    method = build()
    method.begin_task(TASKS[0])
    assert torch.equal(method(pictures()), torch.zeros(5, 3))
    method = teach(build(), TASKS[:2])
    before = method(pictures())
    method.begin_task(TASKS[2])
    for stack in method.adapters.stacks:
        for p in stack[2].parameters():
            p.data += 1
    assert torch.equal(method(pictures())[:, :5], before)
    assert not method(pictures())[:, 5:].any()


def test_loss_is_over_the_current_classes_alone():
    method = teach(build(), TASKS[:1])
    method.begin_task(TASKS[1])
    images, labels = data_of(TASKS[1]).train.batches[0]
    (loss,) = method.losses(images, labels).values()
    features, W = method.backbone(images), method.training_head.weight
    logits = torch.cosine_similarity(features[:, None], W[None], dim=2)
    expected = -torch.stack([torch.log_softmax(z, 0)[y - 3] for z, y in zip(logits, labels, strict=True)]).mean()
    assert torch.allclose(loss, expected, atol=1e-5)


def test_dropout_is_for_training_steps_alone():
    method = build(dropout=0.5)
    teach(method, TASKS[:1])
    method.begin_task(TASKS[1])
    for p in method.adapters.parameters():
        p.data += 0.3
    images, labels = data_of(TASKS[1]).train.batches[0]
    method.eval()
    assert len({float(method.losses(images, labels)["cross_entropy"].detach()) for _ in range(4)}) > 1
    method.train()
    assert torch.equal(method(images), method(images))


@pytest.mark.parametrize("refresh", [True, False])
def test_refresh_decides_whether_synthetic_means_move(refresh):
    method = teach(build(refresh=refresh), TASKS[:2])
    synthetic = method.head.means[:3, 1].clone()
    teach(method, TASKS[2:])
    assert torch.equal(method.head.means[:3, 1], synthetic) != refresh
