import pytest
import torch
import torch.nn.functional as F
from teaching import FixedBatches, data_of, make_tasks, teach

from sdlora.backbones.vit import untrained_vit
from sdlora.methods import METHODS
from sdlora.task import Task, TaskData


def test_logits_are_cosines_to_the_class_means():
    tasks = make_tasks(2, 3)
    method = teach(METHODS.get("simplecil")(untrained_vit()), tasks)
    backbone = untrained_vit().double()
    means = []
    for task in tasks:
        images = torch.cat([images for images, _ in data_of(task).plain]).double()
        labels = torch.cat([labels for _, labels in data_of(task).plain])
        features = backbone(images)
        means += [features[labels == k].mean(0) for k in range(task.class_offset, task.num_seen)]
    images = torch.rand(4, 3, 16, 16)
    expected = F.normalize(backbone(images.double()), dim=1) @ F.normalize(torch.stack(means), dim=1).T
    assert torch.allclose(method(images).double(), expected, atol=1e-5)


def batches_of(classes: list[int], size: int, offset: int = 0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return pictures of some classes out of six, numbered from `offset` in the order given, in batches of `size`."""
    whole = FixedBatches(make_tasks(6)[0], seed=4, batch_size=24)
    images, labels = (torch.cat(parts) for parts in zip(*whole, strict=True))
    places = [(labels == k).nonzero().flatten() for k in classes]
    ids = torch.cat([torch.full((len(own),), offset + new) for new, own in enumerate(places)])
    return list(zip(images[torch.cat(places)].split(size), ids.split(size), strict=True))


@pytest.mark.parametrize("sizes", [(6,), (1, 2, 3), (1, 1, 1, 1, 1, 1)])
@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4, 5], [4, 0, 5, 3, 1, 2]])
@pytest.mark.parametrize("batch_size", [1, 7])
def test_neither_split_nor_order_nor_batch_moves_a_mean(sizes, order, batch_size):
    method, expected = (METHODS.get("simplecil")(untrained_vit()) for _ in range(2))
    (whole,) = make_tasks(6)
    expected.begin_task(whole)
    expected.end_task(TaskData(train=[], plain=batches_of([0, 1, 2, 3, 4, 5], 72)))
    for task in make_tasks(*sizes):
        plain = batches_of(order[task.class_offset : task.num_seen], batch_size, task.class_offset)
        method.begin_task(task)
        old = method.head.means[: task.class_offset].clone()
        method.end_task(TaskData(train=[], plain=plain))
        assert torch.equal(method.head.means[: task.class_offset], old)
    assert torch.allclose(method.head.means, expected.head.means[order], atol=1e-5)


def test_means_come_from_plain_images():
    method, task = METHODS.get("simplecil")(untrained_vit()), Task(0, ("one", "two"), 0)
    plain = FixedBatches(task, seed=1)
    method.begin_task(task)
    method.end_task(TaskData(train=FixedBatches(task, seed=2), plain=plain))
    images, labels = (torch.cat(parts) for parts in zip(*plain, strict=True))
    features = untrained_vit()(images)
    for k in range(2):
        assert torch.allclose(method.head.means[k], features[labels == k].mean(0), atol=1e-6)


def test_it_trains_nothing():
    method = METHODS.get("simplecil")(untrained_vit())
    assert method.num_epochs == 0
    assert method.param_groups() == [{"params": []}]
