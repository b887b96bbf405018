import numpy as np
import pytest
import torch

from sdlora.config.build import build
from sdlora.config.load import parse_recipe
from sdlora.engine import Steps
from sdlora.errors import ConfigError, DataError

RECIPE = b"""
[run]
seeds = [3]
output_dir = "runs/x"
precision = "bf16"
checkpoint_seconds = 5
deterministic = false
device = "cpu"
[stream]
dataset = "synthetic"
num_tasks = 2
[data]
num_classes = 6
train_images = 4
flip = false
crop_scale = [0.5, 1]
[backbone]
name = "untrained_vit"
options = { width = 48 }
[method]
name = "lora"
rank = 3
[optim]
name = "sgd"
lr = 0.5
momentum = 0.9
weight_decay = 0.01
schedule = { epochs = [1], factor = 0.1 }
epochs = 2
batch_size = 8
clip_norm = 1
"""


def made(*overrides):
    return build(parse_recipe(RECIPE, overrides, name="made"))


def test_names_become_objects_with_their_options():
    experiment = made()
    assert experiment.backbone.feature_dim == 48
    assert len(experiment.dataset.classes) == 6
    assert len(experiment.dataset.train.labels) == 24
    augment = experiment.dataset.default_augment
    assert (augment.flip, augment.crop_scale) == (False, (0.5, 1.0))
    assert experiment.stream(3).augment == augment


def test_options_of_a_run():
    options = made().options(3)
    assert (options.seed, options.epochs, options.batch_size, options.device) == (3, 2, 8, "cpu")
    assert (options.precision, options.deterministic, options.checkpoint_seconds) == ("bf16", False, 5.0)
    optim = options.optim
    assert (optim.name, optim.lr, optim.momentum, optim.weight_decay, optim.clip_norm) == ("sgd", 0.5, 0.9, 0.01, 1.0)
    assert optim.schedule == Steps((1,), 0.1)
    assert made().folder(3).as_posix() == "runs/x/seed3"
    assert (options.eval_batch_size, made("run.eval_batch_size=24").options(3).eval_batch_size) == (256, 24)


def test_a_method_that_takes_no_steps_needs_no_optimiser():
    text = RECIPE[: RECIPE.index(b"[optim]")].replace(b'"lora"\nrank = 3', b'"simplecil"') + b"[optim]\nbatch_size = 4"
    options = build(parse_recipe(text, name="made")).options(3)
    assert (options.epochs, options.batch_size, options.optim.lr) == (0, 4, 0.0)


def test_every_method_gets_a_backbone_of_its_own():
    experiment = made()
    before = {name: value.clone() for name, value in experiment.backbone.state_dict().items()}
    first, second = experiment.method(), experiment.method()
    assert first.backbone is not second.backbone
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(1)
    assert experiment.backbone.state_dict().keys() == before.keys()
    assert all(torch.equal(value, before[name]) for name, value in experiment.backbone.state_dict().items())


def orders(*overrides, seeds=(0, 1)):
    experiment = made(*overrides)
    return [experiment.stream(seed).classes for seed in seeds]


def test_class_orders(tmp_path):
    given = made().dataset.classes
    first, second = orders("stream.class_order=seed")
    assert first != second
    assert set(first) == set(second) == set(given)
    assert orders("stream.class_order=given") == [given, given]
    assert orders("stream.class_order=0") == [first, first]
    backwards = list(reversed(given))
    (tmp_path / "order.txt").write_text("\n".join(backwards))
    assert orders(f"stream.class_order={{file='{tmp_path}/order.txt'}}")[0] == tuple(backwards)
    assert orders(f"stream.class_order={backwards}")[0] == tuple(backwards)
    np.random.seed(1993)  # as published code draws it
    drawn = tuple(given[index] for index in np.random.permutation(6))
    assert orders("stream.class_order={numpy_seed=1993}") == [drawn, drawn]


def test_task_sizes():
    sizes = [task.num_classes for task in made("stream.task_sizes=[1,2,3]").stream(0).tasks]
    assert sizes == [1, 2, 3]
    with pytest.raises(ConfigError, match="sum to 5"):
        made("stream.task_sizes=[2,3]").stream(0)


def test_what_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="is not at birds"):
        made("stream.dataset=cub200", "stream.root=birds")
    with pytest.raises(ConfigError, match="vit_bsae"):
        made("backbone.name=vit_bsae_patch16_224.augreg")


def test_other_statistics_of_the_input_are_those_of_the_recipe():
    recipe = RECIPE.replace(b"[method]", b"mean = [0, 0.25, 0]\nstd = [1, 0.5, 1]\n[method]", 1)
    usual, other = build(parse_recipe(RECIPE, name="r")).backbone, build(parse_recipe(recipe, name="r")).backbone
    assert usual.statistics() == ((0.5,) * 3, (0.5,) * 3)
    assert other.statistics() == ((0.0, 0.25, 0.0), (1.0, 0.5, 1.0))
    images = torch.rand(2, 3, 16, 16)
    expected = (images - torch.tensor([0, 0.25, 0]).view(3, 1, 1)) / torch.tensor([1, 0.5, 1]).view(3, 1, 1)
    torch.testing.assert_close(other.normalise(images), expected)
    assert other.sha256 == usual.sha256
