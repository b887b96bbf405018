import copy
import math

import pytest
import torch
from teaching import SIZE, FixedBatches, data_of, make_tasks, teach
from torch import Tensor
from vits import vit_base

from sdlora.backbones.vit import load_backbone
from sdlora.errors import ConfigError
from sdlora.methods.ranpac import RanPAC
from sdlora.task import TaskData

TASKS = make_tasks(3, 2, 4)


def build(**options) -> RanPAC:
    torch.manual_seed(0)
    return RanPAC(load_backbone("untrained_vit"), **{"projection_dim": 60, **options})


def pictures(count: int = 5) -> Tensor:
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(7))


def num_trained(method: RanPAC) -> int:
    return sum(p.numel() for group in method.param_groups() for p in group["params"])


@pytest.mark.parametrize(("adaptation", "size"), [("adapter", 1_189_632), ("ssf", 205_824)])
def test_counts_at_vit_base(adaptation, size):
    method = RanPAC(copy.deepcopy(vit_base()), adaptation=adaptation, projection_dim=4)
    first, second = make_tasks(10, 10)
    method.begin_task(first)
    assert num_trained(method) == size + 768 * 10 + 1
    method.begin_task(second)
    assert num_trained(method) == 0


def test_sizes_at_vit_base_and_small():
    assert RanPAC(copy.deepcopy(vit_base())).projection_dim == 10_000
    assert RanPAC(load_backbone("untrained_vit")).projection_dim == 417


@pytest.mark.parametrize("adaptation", ["adapter", "ssf", "none"])
def test_equals_one_ridge_fit_on_the_features_of_all_tasks(adaptation):
    method = teach(build(adaptation=adaptation), TASKS)
    with torch.no_grad():
        batches = [(method.backbone(images), labels) for task in TASKS for images, labels in data_of(task).plain]
    features, labels = (torch.cat(parts) for parts in zip(*batches, strict=True))
    H = torch.clamp(features.double() @ method.head.projection.double(), min=0)
    Y = torch.nn.functional.one_hot(labels, 9).double()
    below = math.sqrt(float(method.head.strengths[-1])) * torch.eye(60, dtype=torch.float64)
    W = torch.linalg.lstsq(torch.cat([H, below]), torch.cat([Y, Y.new_zeros(60, 9)])).solution
    test = torch.clamp(method.backbone(pictures()).double() @ method.head.projection.double(), min=0) @ W
    assert torch.allclose(method(pictures()).double(), test, atol=1e-4)


def test_reads_plain_images_only():
    method, task = build(adaptation="none"), TASKS[0]
    plain = FixedBatches(task, seed=1)
    method.begin_task(task)
    method.end_task(TaskData(train=FixedBatches(task, seed=2), plain=plain))
    with torch.no_grad():
        features = torch.cat([method.backbone(images) for images, _ in plain])
    H = torch.clamp(features.double() @ method.head.projection.double(), min=0)
    assert torch.allclose(method.head.gram, H.T @ H, rtol=1e-10)


@pytest.mark.parametrize("adaptation", ["adapter", "ssf", "none"])
def test_after_the_first_task_only_sums_and_solution_change(adaptation):
    method = teach(build(adaptation=adaptation), TASKS[:1])
    before = {key: value.clone() for key, value in method.state_dict().items()}
    parameters = {name: p.clone() for name, p in method.named_parameters()}
    data = data_of(TASKS[1])
    method.begin_task(TASKS[1])
    method.prepare(data)
    assert num_trained(method) == 0
    assert not any(p.requires_grad for p in method.parameters())
    for images, labels in data.train:
        assert method.losses(images, labels) == {}
    method.end_task(data)
    changed = {key for key, value in method.state_dict().items() if not torch.equal(before[key], value)}
    assert changed == {f"head.{name}" for name in ("gram", "cross", "weight", "strengths", "num_fitted")}
    assert set(parameters) - set(dict(method.named_parameters())) <= {"training_head.weight", "training_head.sigma"}


@pytest.mark.parametrize("adaptation", ["adapter", "ssf"])
def test_the_first_task_trains_the_adapters_and_nothing_pretrained(adaptation):
    method = build(adaptation=adaptation)
    method.begin_task(TASKS[0])
    start = {name: p.detach().clone() for name, p in method.named_parameters()}
    optimizer = torch.optim.SGD(method.param_groups(), lr=0.1)
    for _ in range(3):
        for images, labels in data_of(TASKS[0]).train:
            optimizer.zero_grad()
            method.losses(images, labels)["cross_entropy"].backward()
            optimizer.step()
    for name, p in method.named_parameters():
        assert torch.equal(p, start[name]) == name.startswith("backbone."), name


def test_logits_until_the_first_solution_are_those_of_the_training_head():
    method = build()
    method.begin_task(TASKS[0])
    features, W = method.backbone(pictures()), method.training_head.weight
    expected = torch.cosine_similarity(features[:, None], W[None], dim=2)
    assert torch.allclose(method(pictures()), expected, atol=1e-6)
    method.end_task(data_of(TASKS[0]))
    ridge = torch.clamp(features @ method.head.projection, min=0) @ method.head.weight.T
    assert torch.allclose(method(pictures()), ridge, atol=1e-4)


def test_classes_of_a_task_under_way_score_zero():
    method = teach(build(), TASKS[:1])
    before = method(pictures())
    method.begin_task(TASKS[1])
    assert torch.allclose(method(pictures())[:, :3], before, atol=1e-6)
    assert not method(pictures())[:, 3:].any()


def test_dropout_is_for_training_steps_alone():
    method = build(dropout=0.5)
    method.begin_task(TASKS[0])
    for p in method.adapters.parameters():
        p.data += 0.3
    images, labels = data_of(TASKS[0]).train.batches[0]
    method.eval()
    losses = {float(method.losses(images, labels)["cross_entropy"].detach()) for _ in range(4)}
    assert len(losses) > 1
    method.train()
    assert torch.equal(method(images), method(images))


def test_reports_lambda():
    method = teach(build(), TASKS)
    report = method.report()
    assert len(report["ridge_lambda"]) == 3
    assert report["ridge_lambda_at_edge"] == float(report["ridge_lambda"][-1] in (1e-8, 1e8))


def test_refuses_an_unknown_adaptation():
    with pytest.raises(ConfigError, match='adaptation = "vpt"'):
        build(adaptation="vpt")
