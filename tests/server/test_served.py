"""Following a bundle, with fakes and with a real one."""

import asyncio
import shutil

import numpy as np
import pytest
import torch
from lessons import Levels
from server.fakes import FakeModels, write_generation

from sdlora import Learner
from sdlora.bundle import read_bundle
from sdlora.errors import BundleError
from sdlora.server.served import Served, load_bundle, newest_generation, untaught


@pytest.fixture
def path(tmp_path):
    write_generation(tmp_path / "shop", ["rose", "moss"])
    return tmp_path / "shop"


def test_a_new_generation_takes_over_when_it_is_warm(path):
    models, swapped = FakeModels(), []
    served = Served(path, models.load, 7)
    assert sorted(models.batches) == [1, 7]

    async def session():
        await served.refresh(swapped.append)
        assert swapped == []
        write_generation(path, ["rose", "moss", "fern"])
        await served.refresh(swapped.append)
        assert served.model is swapped[0]
        assert served.model.classes == ("rose", "moss", "fern")
        assert served.changed is not None
        assert len(models.batches) == 4

    asyncio.run(session())


def test_a_generation_that_cannot_be_read_leaves_the_old_model_and_is_said(path, caplog):
    models = FakeModels()
    served = Served(path, models.load, 1)
    (path / "history" / "2.json").write_text("{")

    async def session():
        await served.refresh(lambda model: pytest.fail("swapped"))
        assert served.trouble
        assert served.model.version == "1-fake"
        write_generation(path, ["rose", "moss", "fern"])
        await served.refresh(lambda model: None)
        assert served.trouble is None
        assert served.model.version == "3-fake"

    asyncio.run(session())
    assert "version 1-fake goes on answering" in caplog.text


def test_only_numbers_are_generations(path):
    for name in ("x.json", "12.json.partial", ".9.partial", "7"):
        (path / "history" / name).write_text("")
    assert newest_generation(path) == 1
    assert newest_generation(path / "missing") == 0


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A real bundle with one lesson."""

    path = tmp_path_factory.mktemp("real") / "levels"
    learner = Learner(device="cpu")
    learner.learn(Levels(num_images=12), epochs=1)
    learner.save(path)
    return path


def test_a_real_bundle_answers_as_its_learner_does(bundle):
    model, learner = load_bundle(bundle, device="cpu"), Learner.load(bundle, device="cpu")
    batch = torch.randint(0, 256, (3, model.image_size, model.image_size, 3), dtype=torch.uint8)
    np.testing.assert_array_equal(model.probabilities(batch), learner.probabilities(batch))
    assert (model.version, model.classes, model.tasks) == (learner.model_version, ("dark", "light"), (1, 1))
    assert model.test_crop == learner.augment.test_crop
    (lesson,) = model.lessons
    assert lesson["classes"] == ["dark", "light"]
    assert isinstance(lesson["magnitude"], float)
    assert model.facts["can_undo"] is False


def test_a_bundle_that_is_damaged_or_missing_is_refused(bundle, tmp_path):
    shutil.copytree(bundle, tmp_path / "copy")
    weights = tmp_path / "copy" / read_bundle(bundle).config.weights.file
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    for path in (tmp_path / "copy", tmp_path / "missing"):
        with pytest.raises(BundleError):
            load_bundle(path)
    assert load_bundle(tmp_path / "missing", may_be_new=True).classes == ()
    with pytest.raises(BundleError):
        load_bundle(tmp_path / "copy", may_be_new=True)


def test_nothing_can_be_asked_of_nothing():
    with pytest.raises(BundleError):
        untaught().probabilities(torch.zeros(1, 1, 1, 3))
