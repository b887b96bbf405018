"""A lesson is a task of `sdlora.engine.fit`, without its folder."""

import torch
from lessons import Stripes, everything, learner

from sdlora.backbones.vit import load_backbone
from sdlora.datasets.base import Dataset, Split
from sdlora.engine import fit, load_method
from sdlora.learner import Learner
from sdlora.learner.defaults import augment_for, lesson_options, method_options
from sdlora.methods import METHODS
from sdlora.streams import make_stream


def test_a_lesson_has_the_bits_of_a_run(tmp_path):
    data = Stripes((0, 1, 2))
    pixels = torch.stack([torch.from_numpy(data[index][0]) for index in range(len(data))]).numpy()
    labels = torch.tensor([data[index][1] for index in range(len(data))]).numpy()
    split = Split(pixels, labels)
    dataset = Dataset("d", tuple(data.classes), split, split, default_augment=augment_for("untrained_vit"))
    stream = make_stream(dataset, num_tasks=1)

    def make():
        return METHODS.get("sdlora")(load_backbone("untrained_vit"), **method_options("sdlora", {}))

    options = lesson_options("untrained_vit", "sdlora", seed=3, device="cpu")
    options = type(options)(**{**vars(options), "epochs": 2})
    fit(make, stream, options, tmp_path / "run", recipe={})
    run = load_method(make, stream, tmp_path / "run")
    made = Learner("untrained_vit", device="cpu", seed=3)
    made.learn(data, epochs=2, holdout=0)
    for name, value in run.state_dict().items():
        assert torch.equal(made.method.state_dict()[name], value), name


def test_the_seed_matters_and_nothing_else():
    one, two, other = (learner("sdlora", (0, 1, 2), seed=seed).predict_proba(everything()) for seed in (1, 1, 2))
    assert (one == two).all()
    assert (one != other).any()
