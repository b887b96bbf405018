"""The object as its users see it; B3, B10, C5, and all or nothing."""

import logging
import threading

import numpy as np
import pytest
import torch
from bundles import contents
from lessons import SIDE, Stripes, everything, learner, write_stripes
from PIL import Image
from reliability.faults import Calls

import sdlora
from sdlora import files
from sdlora.engine import Observer
from sdlora.errors import BundleError, BusyError, ConfigError, DataError, NotTaughtError, NumericalError
from sdlora.learner import LessonObserver
from sdlora.methods import METHODS

OPEN_ENDED = [name for name in METHODS if not METHODS.get(name).joint]
SMALL = {
    "coda_prompt": {"layers": (0, 1)},
    "hide_prompt": {"layers": (0, 1)},
    "dualprompt": {"g_layers": (0,), "e_layers": (1,)},
}


def taught(name):
    return learner(name, (0, 1, 2), (3, 4), **SMALL.get(name, {}))


@pytest.mark.parametrize("name", OPEN_ENDED)
def test_b3_every_method_is_taught_saved_and_loaded_with_the_same_bits(name, tmp_path):
    before = taught(name)
    before.save(tmp_path / "m")
    after = sdlora.Learner.load(tmp_path / "m", device="cpu")
    assert np.array_equal(before.predict_proba(everything()), after.predict_proba(everything()))
    assert (after.classes, after.history) == (before.classes, before.history)
    assert after.model_version == before.model_version
    files = contents(tmp_path / "m")
    after.save(tmp_path / "m")
    assert contents(tmp_path / "m") == files
    before.save(tmp_path / "again")
    assert contents(tmp_path / "again") == files


@pytest.mark.parametrize("name", ["sdlora", "finetune", "ranpac", "simplecil"])
def test_b10_two_processes_teaching_one_lesson_each_equal_one_teaching_both(name, tmp_path):
    learner(name, (0, 1, 2)).save(tmp_path / "m")
    second = sdlora.Learner.load(tmp_path / "m", device="cpu")
    second.learn(Stripes((3, 4)), epochs=1)
    at_once = learner(name, (0, 1, 2), (3, 4))
    assert np.array_equal(second.predict_proba(everything()), at_once.predict_proba(everything()))
    assert [task.weights for task in second.history] == [task.weights for task in at_once.history]


def test_b5_reading_a_bundle_writes_nothing(tmp_path, monkeypatch):
    learner("probe", (0, 1), (2, 3)).save(tmp_path / "m")

    def refuse(_, name):
        raise AssertionError(f"{name} was called")

    monkeypatch.setattr(files, "os", Calls(refuse))
    made = sdlora.Learner.load(tmp_path / "m", device="cpu")
    made.predict(everything()[0])
    made.evaluate(Stripes((0, 1), "test"))
    made.merge()
    made.undo()


def test_a_dropped_direction_survives_saving(tmp_path):
    made = learner("sdlora", (0, 1), (2, 3), adapt_tasks=None, preset="continuous", distill_threshold=0.999999)
    made.save(tmp_path / "m")
    after = sdlora.Learner.load(tmp_path / "m", device="cpu")
    assert np.array_equal(made.predict_proba(everything()), after.predict_proba(everything()))


def test_classes_are_columns_and_only_ever_appended():
    made = learner("probe", (0, 1))
    first = made.classes
    made.learn(Stripes((5, 3)), epochs=1)
    assert made.classes == (*first, "stripes 5", "stripes 3")
    assert (made.num_seen, made.num_tasks) == (4, 2)
    assert made.predict_proba(everything()).shape == (len(everything()), 4)


def test_an_untaught_learner_says_so():
    made = learner()
    assert repr(made) == "Learner(untrained_vit, probe, not taught yet, cpu)"
    assert (made.classes, made.history, made.model_version) == ((), (), "0")
    for ask in (lambda: made.predict(everything()[0]), lambda: made.save("x"), lambda: made.merge(), made.undo):
        with pytest.raises(NotTaughtError, match=r"learner\.learn\(folder\)"):
            ask()


def test_one_image_gives_a_prediction_and_many_give_a_list(tmp_path):
    made = learner("probe", (0, 1, 2))
    pixels = everything()[0]
    Image.fromarray(pixels).save(tmp_path / "a.png")
    tensor = torch.from_numpy(pixels).permute(2, 0, 1)
    forms = [
        pixels,
        Image.fromarray(pixels),
        (tmp_path / "a.png").read_bytes(),
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
    ]
    forms += [tensor, tensor.float() / 255]
    answers = [made.predict(form) for form in forms]
    assert {(answer.label, answer.probability) for answer in answers} == {(answers[0].label, answers[0].probability)}
    assert answers[4].image == str(tmp_path / "a.png")
    assert answers[0].model_version == made.model_version
    assert [answer.label for answer in made.predict([pixels])] == [answers[0].label]
    assert len(made.predict(iter(everything()[:5]), batch_size=2)) == 5
    assert len(made.predict(tmp_path)) == 1
    assert len(made.predict(everything()[:3], top_k=2)[0]) == 2


def test_preprocessing_is_what_measuring_does():
    """A prediction and an evaluation see the same pixels, whatever the size of the image."""
    made = learner("probe", (0, 1, 2))
    made.learn(Stripes((3, 4)), epochs=2)

    class Resized(Stripes):
        def __getitem__(self, index):
            image, label = super().__getitem__(index)
            return Image.fromarray(image).resize((37, 23)), label

    data = Resized(range(5), "test")
    said = [answer.label for answer in made.predict([data[index][0] for index in range(len(data))])]
    right = [label == data.classes[data[index][1]] for index, label in enumerate(said)]
    assert made.evaluate(data).accuracy == sum(right) / len(right)
    assert made.preprocess(data[0][0]).shape == (SIDE, SIDE, 3)


def test_evaluation_matches_classes_by_name():
    made = learner("probe", (0, 1, 2))
    backwards = made.evaluate(Stripes((2, 1, 0), "test"))
    assert backwards.accuracy == made.evaluate(Stripes((0, 1, 2), "test")).accuracy
    with pytest.raises(DataError, match="never taught: stripes 7"):
        made.evaluate(Stripes((0, 7), "test"))
    assert made.evaluate(Stripes((0, 7), "test"), ignore_unknown=True).unknown == ("stripes 7",)


class Trouble(Observer):
    """Raises at a step."""

    def __init__(self, error):
        self.error = error

    def on_step(self, report):
        raise self.error


def state_of(made):
    return made.predict_proba(everything()).tobytes(), made.classes, made.history, made.model_version


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("x"), MemoryError()])
def test_after_any_exception_the_learner_answers_as_before(error, tmp_path):
    made = learner("sdlora", (0, 1), adapt_tasks=None)
    made.save(tmp_path / "m")
    before, files = state_of(made), contents(tmp_path / "m")
    with pytest.raises(type(error)):
        made.learn(Stripes((2, 3)), epochs=1, progress=Trouble(error))
    assert state_of(made) == before
    made.learn(Stripes((2, 3)), epochs=1)
    fresh = learner("sdlora", (0, 1), (2, 3), adapt_tasks=None)
    assert state_of(made)[0] == state_of(fresh)[0]
    assert contents(tmp_path / "m") == files


def test_n2_a_lesson_that_diverges_changes_nothing(monkeypatch):
    made = learner("probe", (0, 1), head="linear")
    before = state_of(made)
    monkeypatch.setattr(
        type(made.method),
        "losses",
        lambda self, x, y: {"cross_entropy": self.head(self.backbone(x)).sum() * float("nan")},
    )
    with pytest.raises(NumericalError):
        made.learn(Stripes((2, 3)), epochs=1)
    monkeypatch.undo()
    assert state_of(made) == before


def test_the_caller_may_stop_a_lesson():
    made = learner("probe", (0, 1), head="linear")
    asked = []
    with pytest.raises(KeyboardInterrupt):
        made.learn(Stripes((2, 3)), epochs=50, should_stop=lambda: len(asked) > 3 or bool(asked.append(0)))
    assert made.num_tasks == 1


def test_predictions_go_on_while_a_lesson_runs():
    made = learner("probe", (0, 1), head="linear")
    seen = []

    class Asking(Observer):
        def on_step(self, report):
            seen.append(made.predict_proba(everything()).shape[1])

    made.learn(Stripes((2, 3)), epochs=2, progress=Asking())
    assert set(seen) == {2}
    assert made.predict_proba(everything()).shape[1] == 4


def test_two_threads_cannot_teach_at_once():
    made = learner("probe", (0, 1), head="linear")
    errors = []

    class Asking(Observer):
        def on_step(self, report):
            def teach():
                try:
                    made.learn(Stripes((4, 5)), epochs=1)
                except BusyError as error:
                    errors.append(error)

            thread = threading.Thread(target=teach)
            thread.start()
            thread.join()

    made.learn(Stripes((2, 3)), epochs=1, progress=Asking())
    assert errors
    assert made.num_tasks == 2


def test_undo_in_memory_and_from_the_bundle(tmp_path):
    made = learner("sdlora", (0, 1), (2, 3))
    made.save(tmp_path / "m")  # both lessons at once: the bundle keeps the state between them too
    one = learner("sdlora", (0, 1))
    assert made.undo().classes == ("stripes 2", "stripes 3")
    assert state_of(made)[0] == state_of(one)[0]
    with pytest.raises(BundleError, match="no state before the last lesson"):
        made.undo()
    loaded = sdlora.Learner.load(tmp_path / "m", device="cpu")
    loaded.rename({"stripes 0": "zero"})
    loaded.save(tmp_path / "m")
    loaded.undo()
    assert loaded.classes == ("zero", "stripes 1")
    loaded.save(tmp_path / "m")
    again = sdlora.Learner.load(tmp_path / "m", device="cpu")
    assert again.classes == ("zero", "stripes 1")
    assert state_of(again)[0] == state_of(one)[0]


def test_undo_goes_back_as_far_as_the_bundle_does(tmp_path):
    made = learner("sdlora", (0, 1))
    states = [state_of(made)[0]]
    for numbers in ((2, 3), (4, 5), (6, 7)):
        made.save(tmp_path / "m")
        made.learn(Stripes(numbers), epochs=1)
        states.append(state_of(made)[0])
    made.save(tmp_path / "m")
    made.rename({"stripes 0": "zero"})
    loaded = sdlora.Learner.load(tmp_path / "m", device="cpu")
    for number in (2, 1):
        assert (made.undo().task, loaded.undo().task) == (number + 2, number + 2)
        assert state_of(made)[0] == state_of(loaded)[0] == states[number]
    assert made.classes[0] == "zero"
    loaded.save(tmp_path / "m")
    again = sdlora.Learner.load(tmp_path / "m", device="cpu")
    assert again.undo().task == 2
    assert state_of(again)[0] == states[0]
    with pytest.raises(BundleError, match="no state before the last lesson"):
        again.undo()


def test_undo_in_memory_then_two_other_lessons_leave_none_of_what_was_undone(tmp_path):
    made = learner("probe", (0, 1), (2, 3))
    made.save(tmp_path / "m")
    made.undo()
    for numbers in ((4, 5), (6, 7)):
        made.learn(Stripes(numbers), epochs=1)
    made.save(tmp_path / "m")
    again = sdlora.Learner.load(tmp_path / "m", device="cpu")
    assert again.classes[2::2] == ("stripes 4", "stripes 6")
    again.undo()
    assert again.classes[2:] == ("stripes 4", "stripes 5")
    again.undo()
    assert again.classes == ("stripes 0", "stripes 1")


def test_names_change_and_nothing_else(tmp_path):
    made = learner("probe", (0, 1))
    before, version = made.predict_proba(everything()), made.model_version
    made.rename({"stripes 0": "stripes 1", "stripes 1": "stripes 0"})
    assert made.classes == ("stripes 1", "stripes 0")
    assert np.array_equal(made.predict_proba(everything()), before)
    made.save(tmp_path / "m")
    assert made.model_version != version or made.model_version.startswith("1-")


def test_a_bundle_takes_only_lessons_that_follow_its_own(tmp_path):
    made = learner("probe", (0, 1))
    made.save(tmp_path / "m")
    other = learner("probe", (2, 3))
    with pytest.raises(BundleError, match=r"holds different lessons \(1 of 1 differ\)"):
        other.save(tmp_path / "m")
    same = learner("probe", (0, 1), (4, 5))
    same.save(tmp_path / "m")
    assert sdlora.Learner.load(tmp_path / "m").num_tasks == 2
    with pytest.raises(BundleError):
        made.save(tmp_path / "m")  # taught further by another


def test_c5_the_later_of_two_writers_gets_a_conflict(tmp_path):
    learner("probe", (0, 1)).save(tmp_path / "m")
    one, two = (sdlora.Learner.load(tmp_path / "m", device="cpu") for _ in range(2))
    one.learn(Stripes((2, 3)), epochs=1)
    two.learn(Stripes((4, 5)), epochs=1)
    one.save(tmp_path / "m")
    files = contents(tmp_path / "m")
    with pytest.raises(BundleError, match="different lessons"):
        two.save(tmp_path / "m")
    assert contents(tmp_path / "m") == files


def test_merging_gives_a_plain_model_with_names(tmp_path):
    made = learner("sdlora", (0, 1, 2), (3, 4), layers=None)
    images = torch.from_numpy(everything()).permute(0, 3, 1, 2).float() / 255
    for each in (taught("sdlora"), made):
        model = each.merge()
        shares = model(each.backbone.normalise(images)).softmax(1)
        torch.testing.assert_close(shares, torch.from_numpy(each.predict_proba(everything())), atol=1e-5, rtol=0)
    assert model.pretrained_cfg["label_names"] == list(made.classes)
    assert not any("sdlora" in type(module).__module__ for module in model.modules())
    with pytest.raises(ConfigError, match="cannot become a plain model"):
        taught("simplecil").merge()


def test_a_lesson_from_a_folder_tells_what_it_does(tmp_path):
    plans, steps = [], []

    class Listening(LessonObserver):
        def on_plan(self, plan):
            plans.append(plan)

        def on_step(self, report):
            steps.append((report.epoch, report.num_epochs, report.done_images, report.total_images))

    made = learner("sdlora")
    write_stripes(tmp_path / "data", (0, 1))
    record = made.learn(tmp_path / "data", epochs=2, progress=Listening())
    (plan,) = plans
    assert (plan.task, plan.new, plan.num_images, plan.num_held_out) == (1, ("stripes 0", "stripes 1"), 16, 4)
    assert steps == [(0, 2, 12, 24), (1, 2, 24, 24)]
    assert (record.num_images, record.num_held_out, record.epochs, record.task) == (16, 4, 2, 1)
    assert record.weakest is not None


def test_nothing_is_printed(capfd, caplog):
    with caplog.at_level(logging.INFO):
        made = learner("probe", (0, 1))
        made.predict(everything()[:2])
    assert capfd.readouterr() == ("", "")


def test_a_retest_measures_earlier_classes_before_and_after():
    made = learner("probe", (0, 1))
    before = made.evaluate(Stripes((0, 1), "test")).accuracy
    record = made.learn(Stripes((2, 3)), epochs=1, retest=[Stripes((1, 0), "test")])
    (retest,) = record.retests
    assert (retest.before, retest.after) == (before, made.evaluate(Stripes((0, 1), "test")).accuracy)
    assert (retest.classes, retest.num_images) == (2, 8)
    with pytest.raises(DataError, match="not known before this lesson"):
        made.learn(Stripes((4, 5)), epochs=1, retest=[Stripes((4, 5), "test")])


def test_a_time_limit_cuts_epochs():
    made = learner("sdlora")
    record = made.learn(Stripes((0, 1)), epochs=100_000, time_limit=1.0)
    assert 1 <= record.epochs < 100_000


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"time_limit": 0}, {"time_limit": float("nan")}, {"holdout": 1.0}, {"holdout": -0.1}]
)
def test_wrong_wishes_are_refused(wrong):
    with pytest.raises(ConfigError):
        learner().learn(Stripes((0, 1)), **wrong)


def test_a_bundle_says_where_the_backbone_comes_from(tmp_path):
    from sdlora.backbones.vit import load_backbone

    made = sdlora.Learner(load_backbone("untrained_vit", width=16), method="probe", device="cpu")
    assert made.source.base is None
    made.learn(Stripes((0, 1)), epochs=1)
    made.save(tmp_path / "m")
    assert made.source == sdlora.Learner.load(tmp_path / "m").source
    assert made.source.base is not None
    named = learner("probe", (0, 1))
    named.save(tmp_path / "named")
    assert named.source.base is None


def test_importing_the_package_is_cheap():
    import subprocess
    import sys

    code = "import sys, sdlora; assert 'torch' not in sys.modules; sdlora.Learner; assert 'torch' in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
    with pytest.raises(AttributeError):
        sdlora.NoSuchThing  # noqa: B018
