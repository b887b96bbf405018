import shutil

import numpy as np
import pytest
import torch

from sdlora.adapters.inject import adapters_of
from sdlora.adapters.merge import merge_
from sdlora.analysis.trajectory import NUM_STEPS, Trajectory
from sdlora.errors import RunError
from sdlora.reports import load_runs
from sdlora.streams import PlainBatches


def test_updates_are_what_was_added_to_the_weights(sdlora):
    found = Trajectory.load(sdlora)
    assert found.num_tasks == len(found.updates) == 3
    for num_tasks, update in enumerate(found.updates, start=1):
        method = found.after(num_tasks)
        adapters = adapters_of(method.backbone)
        assert update.keys() == adapters.keys()
        bases = {name: adapter.base.weight.clone() for name, adapter in adapters.items()}
        merge_(method.backbone)
        for name, base in bases.items():
            plain = method.backbone.get_submodule(name).weight
            torch.testing.assert_close(base + update[name], plain)
            assert update[name].abs().max() > 0


def test_inner_products_are_those_of_all_layers_together(sdlora):
    found = Trajectory.load(sdlora)
    flat = [torch.cat([part.flatten() for part in update.values()]).double().numpy() for update in found.updates]
    np.testing.assert_allclose(found.gram(), np.array([[a @ b for b in flat] for a in flat]), rtol=1e-9)


def test_residuals_are_those_that_the_method_logged(sdlora):
    rows = load_runs([sdlora])[0].tasks
    assert Trajectory.load(sdlora).residuals() == pytest.approx([np.mean(row.method["residuals"]) for row in rows[1:]])
    assert Trajectory.load(sdlora).magnitudes() == rows[-1].method["magnitudes"]


def test_residuals_of_steps_where_none_are_logged(lora):
    found = Trajectory.load(lora)
    assert found.magnitudes() is None
    (name,) = found.updates[0]
    first, second = (update[name].flatten().double().numpy() for update in found.updates[:2])
    step = second - first
    share = step @ first / (first @ first)
    rest = step - share * first
    assert found.residuals()[0] == pytest.approx(rest @ rest / (step @ step))
    assert len(found.residuals()) == 2
    assert all(0 <= value <= 1 + 1e-9 for value in found.residuals())


def test_the_path_begins_and_ends_with_the_weights_of_the_tasks(sdlora):
    found = Trajectory.load(sdlora)
    accuracies, num_images = found.accuracies_on_the_way("cpu")
    run = load_runs([sdlora])[0]
    assert len(accuracies) == NUM_STEPS + 1
    assert num_images == run.matrix.totals[0][0]
    assert accuracies[0] == run.matrix.hits[0][0] / num_images
    method = found.after(1)
    features = found.after(2).backbone
    labels, said = [], []
    with torch.inference_mode():
        for images, ids in PlainBatches(found.stream.test(0), 256, method.backbone.image_size, torch.device("cpu")):
            said += method.head(features(images)).argmax(dim=1).tolist()
            labels += ids.tolist()
    assert accuracies[-1] == np.mean(np.equal(labels, said))


def follow(folder):
    return Trajectory.load(folder).updates


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (("stream.num_tasks=1",), "has 1 task\nExpected: at least 2\nFix: stream.num_tasks=2 or more"),
        (("method.name=joint",), "has 1 task"),
        (("run.keep_task_weights=false",), "kept no weights of task 1\nFix: train with run.keep_task_weights=true"),
        (("method.name=probe",), "probe adds nothing to the weights of linear layers"),
    ],
)
def test_runs_that_cannot_be_followed(changes, message, train):
    folder = train(*changes)
    with pytest.raises(RunError) as caught:
        follow(folder)
    assert message in str(caught.value)


def test_an_unfinished_run_and_changed_data(sdlora, tmp_path):
    shutil.copytree(sdlora, tmp_path / "run")
    manifest = tmp_path / "run/manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace('"status": "finished"', '"status": "stopped"'))
    with pytest.raises(RunError, match=r"is not finished\nFix: sdlora train .*recipe\.toml"):
        Trajectory.load(tmp_path / "run")
    manifest.write_text(text)
    recipe = tmp_path / "run/recipe.toml"
    recipe.write_text(recipe.read_text().replace("train_images = 8", "train_images = 9"))
    with pytest.raises(RunError, match=r"the data of .* have changed since it was trained"):
        Trajectory.load(tmp_path / "run")


def test_one_run_at_a_time(sdlora, lora):
    with pytest.raises(RunError, match=r"holds \d+ runs\nExpected: one\nFix: sdlora analyze"):
        Trajectory.load(sdlora.parents[1])


def test_nothing_in_the_run_changes(sdlora):
    before = {path: path.stat().st_mtime_ns for path in sdlora.rglob("*")}
    found = Trajectory.load(sdlora)
    found.gram()
    found.accuracies_on_the_way("cpu")
    assert {path: path.stat().st_mtime_ns for path in sdlora.rglob("*")} == before
