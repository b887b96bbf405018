import pytest
import torch
from reference.vit import features
from teaching import SIZE, FixedBatches, make_tasks, teach

from sdlora.adapters import LoRALinear, merge
from sdlora.backbones.vit import untrained_vit
from sdlora.errors import ConfigError
from sdlora.methods.lora import LoRA

TASKS = make_tasks(3, 2, 4)
WIDTH, DEPTH = 32, 2  # of the untrained backbone


def build(**options):
    torch.manual_seed(0)
    return LoRA(untrained_vit(), **options)


def pictures(count=5):
    return torch.rand(count, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(7))


def layers(method):
    return [module for module in method.modules() if isinstance(module, LoRALinear)]


def test_features_equal_a_float64_loop_after_training():
    method = teach(build(rank=4, alpha=8.0), TASKS)
    weights = {key: value.double() for key, value in untrained_vit().model.state_dict().items()}

    def update(block, part, x):
        pair = layers(method)[block].parts[part]
        return 8.0 / 4 * (x @ pair.lora_A.detach().double().T @ pair.lora_B.detach().double().T)

    expected = features(weights, pictures().double(), depth=DEPTH, num_heads=2, patch=8, update=update)
    plain = features(weights, pictures().double(), depth=DEPTH, num_heads=2, patch=8, update=lambda *_: 0.0)
    found = method.backbone(pictures()).detach().double()
    assert float((found - expected).norm() / expected.norm()) <= 1e-5
    assert float((plain - expected).norm() / expected.norm()) > 1e-3, "training must have moved it"


def test_starts_from_the_backbone_as_it_is():
    method = build()
    method.begin_task(TASKS[0])
    assert torch.equal(method.backbone(pictures()), untrained_vit()(pictures()))


def test_every_task_goes_on_with_the_same_pairs():
    method = build(rank=4)
    trained = []
    for task in TASKS:
        teach(method, [task])
        pairs, head = method.param_groups()
        trained.append([id(p) for p in pairs["params"]])
        assert sum(p.numel() for p in pairs["params"]) == DEPTH * 2 * 4 * 2 * WIDTH
        assert sum(p.numel() for p in head["params"]) == (WIDTH + 1) * task.num_classes
    assert trained[0] == trained[1] == trained[2]


def test_trains_on_the_classes_of_the_task_alone():
    method = teach(build(), TASKS[:2])
    images, labels = FixedBatches(TASKS[1], seed=0).batches[0]
    local = method(images)[:, TASKS[1].class_offset :]
    expected = torch.nn.functional.cross_entropy(local, labels - TASKS[1].class_offset)
    assert torch.allclose(method.losses(images, labels)["cross_entropy"], expected)


def test_merging_the_backbone_keeps_the_logits():
    method = teach(build(), TASKS)
    assert torch.allclose(method.head(merge(method.backbone)(pictures())), method(pictures()), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"), [({"rank": 33}, "rank 33"), ({"targets": ["query"]}, 'no linear layer is called "query"')]
)
def test_options_that_cannot_be_are_refused_at_construction(options, message):
    with pytest.raises(ConfigError, match=message):
        build(**options)
