import copy
import json

import torch

from sdlora.backbones.vit import load_backbone
from sdlora.costs import measure


def test_figures_and_what_they_say(taught):
    method, images, labels = taught("l2p")
    cost = measure(method, load_backbone("untrained_vit"), images, labels)
    row = cost.to_json()
    assert json.loads(json.dumps(row)) == row
    assert (row["rehearsal_free"], row["one_pass"], row["end_to_end"]) == (True, False, False)
    assert (row["passes"], row["trained"], row["without_task_gradient"]) == (2.0, 4, ["keys"])
    assert row["flops"] > 2 * row["plain_flops"] > 0
    assert row["prediction_seconds"] > 0
    assert row["plain_prediction_seconds"] > 0
    assert method.backbone.training is False


def test_twice_the_same_but_for_times(taught):
    method, images, labels = taught("sdlora")
    state = copy.deepcopy(method.state_dict())
    first, second = (
        {key: value for key, value in measure(method, load_backbone("untrained_vit"), images, labels).to_json().items()
         if not key.endswith("seconds")}
        for _ in range(2)
    )  # fmt: skip
    assert first == second
    assert all(torch.equal(value, state[key]) for key, value in method.state_dict().items())


def test_pictures_of_old_tasks_count_as_samples(taught):
    method, images, labels = taught("probe")
    cost = measure(method, load_backbone("untrained_vit"), images, labels, sample_bytes=768)
    assert cost.kept == {"samples": 768, "features": 0, "statistics": 0}
    assert not cost.rehearsal_free
