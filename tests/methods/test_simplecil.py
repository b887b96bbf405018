import torch
import torch.nn.functional as F
from teaching import data_of, make_tasks, teach

from sdlora.backbones.vit import untrained_vit
from sdlora.methods import METHODS


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


def test_it_trains_nothing():
    method = METHODS.get("simplecil")(untrained_vit())
    assert method.num_epochs == 0
    assert method.param_groups() == [{"params": []}]
