"""A finished run leaves a model that answers as the run's method does, and that can be taught further."""

import numpy as np
import pytest
import torch
from lessons import Levels

from sdlora import Learner
from sdlora.config.build import build
from sdlora.config.load import load_recipe
from sdlora.engine import fit, load_method
from sdlora.learner.run_model import keep_model
from sdlora.methods import METHODS

TINY = (
    "stream.dataset=synthetic",
    "stream.num_tasks=2",
    "data.num_classes=6",
    "data.train_images=4",
    "data.test_images=3",
    "backbone.name=untrained_vit",
    "run.device=cpu",
    "run.precision=float32",
)
VARIANTS = ("sdlora_continuous", "sdlora_kd", "sdlora_paper", "sdlora_rr")


def run(name, folder, *changes):
    """Train a shipped recipe on a few stripes."""
    experiment = build(load_recipe(f"glyphs100_10/{name}", [*TINY, *changes]))
    return experiment, fit(experiment.method, experiment.stream(0), experiment.options(0), folder, recipe={})


def bytes_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("name", [*(name for name in METHODS.names() if name != "joint"), *VARIANTS])
def test_the_model_answers_as_the_method_of_the_run(name, tmp_path):
    experiment, result = run(name, tmp_path / "seed0")
    path = keep_model(experiment, 0, result)
    assert path == tmp_path / "seed0" / "model"
    stream = experiment.stream(0)
    learner = Learner.load(path, device="cpu")
    assert learner.classes == stream.classes
    assert [task.classes for task in learner.history] == [task.classes for task in stream.tasks]
    size = learner.image_size
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (9, size, size, 3), dtype=np.uint8))
    with torch.inference_mode():
        method = load_method(experiment.method, stream, result.folder)
        expected = method(images.permute(0, 3, 1, 2).float() / 255).softmax(dim=1).numpy()
    np.testing.assert_allclose(learner.probabilities(images), expected, atol=1e-5)

    before = bytes_of(path)
    assert keep_model(experiment, 0, result) == path
    assert bytes_of(path) == before


def test_its_lessons_say_what_the_run_measured(tmp_path):
    experiment, result = run("sdlora", tmp_path / "seed0")
    first, second = Learner.load(keep_model(experiment, 0, result)).history
    (first_hits, _), (again, second_hits) = result.hits
    assert (first.num_images, first.num_held_out, first.epochs) == (3 * 4 + 3 * 3, 9, 4)
    assert first.held_out_accuracy == first_hits / 9
    assert second.held_out_accuracy == second_hits / 9
    assert first.retests == ()
    (retest,) = second.retests
    assert (retest.before, retest.after, retest.tasks) == (first_hits / 9, again / 9, (1,))
    assert second.covers(first)
    assert first.source == "synthetic_2"


def test_it_can_be_taught_further_and_is_told_from_other_runs(tmp_path):
    experiment, result = run("sdlora", tmp_path / "seed0")
    path = keep_model(experiment, 0, result)
    learner = Learner.load(path, device="cpu")
    learner.learn(Levels("dark", "light"), epochs=1)
    learner.save(path)
    assert Learner.load(path).num_tasks == 3
    assert keep_model(experiment, 0, result) == path, "what was taught since is left alone"
    assert Learner.load(path).num_tasks == 3


def test_what_learns_everything_at_once_leaves_none(tmp_path):
    experiment, result = run("joint", tmp_path / "seed0")
    assert keep_model(experiment, 0, result) is None
    assert not (tmp_path / "seed0" / "model").exists()


def test_it_sees_images_as_the_run_did_on_a_backbone_that_no_name_leads_to(tmp_path):
    changes = ("backbone.options={width=16, depth=1}", "backbone.mean=[0, 0.2, 0]", "backbone.std=[1, 1, 0.9]")
    experiment, result = run("sdlora", tmp_path / "seed0", *changes)
    learner = Learner.load(keep_model(experiment, 0, result), device="cpu")
    assert learner.backbone.statistics() == ((0.0, 0.2, 0.0), (1.0, 1.0, 0.9))
    images = torch.rand(3, 3, learner.image_size, learner.image_size)
    method = load_method(experiment.method, experiment.stream(0), result.folder)
    torch.testing.assert_close(learner.method(images), method(images))
