import itertools
import math

import pytest
import torch
from reference.released_sdlora import ReleasedLoop
from teaching import SIZE, FixedBatches, data_of, make_tasks, teach

from sdlora.adapters import merge
from sdlora.adapters.sdlora import SDLoRALinear
from sdlora.backbones.vit import untrained_vit
from sdlora.errors import ConfigError
from sdlora.methods.sdlora import SDLoRA

TASKS = make_tasks(3, 2, 4)
WIDTH, DEPTH = 32, 2  # of the untrained backbone


def build(**options):
    torch.manual_seed(0)
    return SDLoRA(untrained_vit(), **options)


def pictures(count=5):
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(7))


def newest_pairs(method):
    layers = [module for module in method.modules() if isinstance(module, SDLoRALinear)]
    return {
        (block, part): (layer.parts[part].lora_A, layer.parts[part].lora_B)
        for block, layer in enumerate(layers)
        for part in ("q", "v")
    }


def distance(found, expected):
    return float((found.detach().double() - expected.detach()).norm() / expected.detach().norm())


def test_released_trains_step_by_step_like_the_released_code():
    weights = {key: value.double() for key, value in untrained_vit().model.state_dict().items()}
    oracle = ReleasedLoop(weights, depth=DEPTH, num_heads=2, patch=8)
    method = build(preset="released", head_init="released", rank=4)
    for task in TASKS:
        method.begin_task(task)
        method.double()
        block = method.head.blocks[-1]
        oracle.begin_task(newest_pairs(method), block.weight, block.bias)
        assert distance(method(pictures().double()), oracle.logits(pictures())) <= 1e-6, "after the jump"
        optimizer = torch.optim.SGD([p for g in method.param_groups() for p in g["params"]], lr=0.05, momentum=0.9)
        for _ in range(2):
            for images, labels in FixedBatches(task, seed=1):
                optimizer.zero_grad()
                loss = sum(method.losses(images.double(), labels).values())
                loss.backward()
                optimizer.step()
                assert loss.item() == pytest.approx(oracle.step(images, labels, lr=0.05), rel=1e-5)
        assert method.report()["magnitudes"] == pytest.approx([m.item() for m in oracle.magnitudes], rel=1e-5)
        for key, pair in newest_pairs(method).items():
            for found, expected in zip(pair, oracle.pairs[key][-1], strict=True):
                assert distance(found, expected) <= 1e-5
        heads = torch.cat([block.weight for block in method.head.blocks])
        assert distance(heads, oracle.head_weight) <= 1e-5
        method.end_task(data_of(task))
        assert distance(method(pictures().double()), oracle.logits(pictures())) <= 1e-5


def test_released_starts_every_task_from_the_released_distributions():
    torch.manual_seed(0)
    method = SDLoRA(untrained_vit(width=200, num_heads=2), preset="released", head_init="released")
    for number, task in enumerate(make_tasks(100, 100), start=1):
        method.begin_task(task)
        for A, B in newest_pairs(method).values():
            bound = 1 / math.sqrt(200)  # kaiming_uniform(a = sqrt 5)
            assert A.shape == (10, 200)
            assert A.detach().abs().max().item() <= bound
            assert A.detach().var().item() == pytest.approx(bound**2 / 3, rel=0.1)
            assert not B.any()
        assert method.adapters.magnitudes.values.tolist() == pytest.approx([0.8] * number)
        block = method.head.blocks[-1]
        assert block.weight.detach().abs().max().item() <= math.sqrt(3 / 200)
        assert block.weight.detach().var().item() == pytest.approx(1 / 200, rel=0.05)
        assert not block.bias.any()
        with torch.no_grad():  # as if something had been learned
            method.adapters.magnitudes.values.add_(1)
            for _, B in newest_pairs(method).values():
                B.normal_()


@pytest.mark.parametrize("preset", ["continuous", "paper", "released"])
def test_the_number_of_trained_parameters(preset):
    method = build(preset=preset, rank=4)
    for task in TASKS:
        method.begin_task(task)
        trained = sum(p.numel() for g in method.param_groups() for p in g["params"])
        pairs = DEPTH * 2 * 4 * 2 * WIDTH
        assert trained == (task.index + 1) + pairs + (WIDTH + 1) * task.num_classes
        teach_only_steps(method, task)
        method.end_task(data_of(task))


def teach_only_steps(method, task):
    optimizer = torch.optim.SGD([p for g in method.param_groups() for p in g["params"]], lr=0.05)
    for images, labels in FixedBatches(task, seed=0):
        optimizer.zero_grad()
        sum(method.losses(images, labels).values()).backward()
        optimizer.step()


def test_continuous_predicts_the_same_on_both_sides_of_a_boundary():
    method = build(preset="continuous")
    for before, after in itertools.pairwise(TASKS):
        method.begin_task(before)
        teach_only_steps(method, before)
        trained = method(pictures())
        method.end_task(data_of(before))
        assert torch.equal(method(pictures()), trained)
        twin = build(preset="continuous")
        for task in TASKS[: after.index]:
            twin.begin_task(task)
        twin.load_state_dict(method.state_dict())
        twin.begin_task(after)
        assert torch.allclose(twin(pictures())[:, : before.num_seen], trained, atol=1e-5)


def test_rank_reduction():
    method = build(rank=10, rank_schedule="paper")
    for task in make_tasks(*[2] * 10):
        method.begin_task(task)
        teach_only_steps(method, task)
        method.end_task(data_of(task))
    assert method.report()["ranks"] == [10] * 4 + [8] * 4 + [6] * 2


def test_distillation_keeps_the_predictions_and_leaves_no_parameters():
    tasks = make_tasks(3, 3)
    method = teach(build(rank=4, preset="continuous", distill_threshold=9e-4), tasks[:1])
    method.begin_task(tasks[1])
    with torch.no_grad():
        for part in method.adapters.directions:
            part.lora_A.copy_(part.frozen_A)
            part.lora_B.copy_(0.01 * part.frozen_B)
    before = method(pictures())
    method.end_task(data_of(tasks[1]))
    assert torch.allclose(method(pictures()), before, atol=1e-5)
    report = method.report()
    assert report["ranks"] == [4, 0]
    assert report["magnitudes"][1] == 0
    assert len(report["residuals"]) == 2 * DEPTH
    assert max(report["residuals"]) < 9e-4
    assert [p.numel() for p in method.param_groups()[0]["params"]] == [1]


def test_the_first_direction_is_explained_by_nothing():
    assert teach(build(), TASKS[:1]).report()["residuals"] == pytest.approx([1.0] * 2 * DEPTH)


def test_merging_the_backbone_keeps_the_logits():
    method = teach(build(), TASKS)
    expected, plain = method(pictures()), merge(method.backbone)
    assert not any(isinstance(module, SDLoRALinear) for module in plain.modules())
    assert distance(method.head(plain(pictures())), expected.double()) <= 1e-5


def test_the_head_has_its_own_learning_rate():
    method = build(head_lr_scale=5.0)
    method.begin_task(TASKS[0])
    adapters, head = method.param_groups()
    assert head["lr_scale"] == 5.0
    assert "lr_scale" not in adapters
    assert {id(p) for p in head["params"]} == {id(p) for p in method.head.parameters()}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "papers"}, 'no preset is called "papers"'),
        ({"targets": ["qkv:o"]}, 'has no part "o"'),
        ({"targets": ["query"]}, 'no linear layer is called "query"'),
        ({"rank": 33}, "rank 33"),
        ({"rank_schedule": [[2, 33]]}, "rank 33"),
        ({"rank_schedule": "half"}, "no rank schedule"),
        ({"preset": "released", "distill_threshold": 9e-4}, "cannot distill"),
    ],
)
def test_options_that_cannot_be_are_refused_at_construction(options, message):
    with pytest.raises(ConfigError, match=message):
        build(**options)
