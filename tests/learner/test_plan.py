import numpy as np
import pytest

from sdlora.datasets.base import AugmentOptions
from sdlora.errors import ConfigError, DataError
from sdlora.learner.data import LabelledImages
from sdlora.learner.plan import plan_lesson

EACH = 10


def data(*classes, is_test=None):
    labels = np.repeat(np.arange(len(classes)), EACH)
    return LabelledImages("photos", classes, np.zeros((len(labels), 2, 2, 3), np.uint8), labels, is_test)


def plan(images, known=(), **options):
    return plan_lesson(images, known, AugmentOptions(), **({"holdout": 0.2} | options))


def test_labels_are_outputs_of_the_model():
    found = plan(data("fern", "moss"), known=("rose", "tulip"))
    assert found.new == ("fern", "moss")
    assert set(found.train.labels.tolist()) == set(found.held_out.labels.tolist()) == {2, 3}
    assert (len(found.train), len(found.held_out), found.num_images) == (16, 4, 20)
    assert not set(found.train.ids.tolist()) & set(found.held_out.ids.tolist())


def test_the_share_held_out_may_be_chosen_or_nothing():
    assert len(plan(data("a", "b"), holdout=0.5).held_out) == 10
    assert len(plan(data("a", "b"), holdout=0).held_out) == 0
    assert len(plan(data("a", "b"), holdout=0.99).train) == 2


def test_what_the_data_set_aside_is_held_out():
    is_test = np.arange(20) % 10 == 0
    assert plan(data("a", "b", is_test=is_test)).held_out.ids.tolist() == [0, 10]


def test_known_classes_are_a_choice():
    images = data("rose", "fern", "moss")
    with pytest.raises(DataError, match=r"already known: rose\nExpected: new names only\nFix: .*--skip-known"):
        plan(images, known=("rose", "tulip"))
    skipped = plan(images, known=("rose", "tulip"), skip_known=True)
    assert (skipped.new, skipped.known, len(skipped.refresh), skipped.num_images) == (("fern", "moss"), (), 0, 20)
    updated = plan(images, known=("rose", "tulip"), update=True)
    assert (updated.known, updated.refresh.labels.tolist()) == (("rose",), [0] * 8)
    assert set(updated.held_out.labels.tolist()) == {0, 2, 3}
    assert 0 not in updated.train.labels
    with pytest.raises(ConfigError):
        plan(images, known=("rose",), update=True, skip_known=True)


def test_only_known_classes_are_a_lesson_if_they_are_taught_again():
    with pytest.raises(DataError, match="holds no new class"):
        plan(data("rose"), known=("rose", "tulip"), skip_known=True)
    assert plan(data("rose"), known=("rose", "tulip"), update=True).new == ()


def test_many_known_classes_are_counted():
    names = tuple(f"c{number}" for number in range(12))
    with pytest.raises(DataError, match="c9 and 2 more"):
        plan(data(*names), known=names)


def test_a_difference_in_case_alone_is_reported():
    with pytest.raises(DataError, match='"Rose" and the known "rose" differ in case only'):
        plan(data("Rose", "fern"), known=("rose", "tulip"))


def test_the_first_lesson_needs_two_classes():
    with pytest.raises(DataError, match="two or more in the first lesson"):
        plan(data("rose"))
    assert plan(data("rose"), known=("a", "b")).new == ("rose",)


@pytest.mark.parametrize("holdout", [-0.1, 1.0, float("nan")])
def test_a_share_is_a_fraction(holdout):
    with pytest.raises(ConfigError):
        plan(data("a", "b"), holdout=holdout)
