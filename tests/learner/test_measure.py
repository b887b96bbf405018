import numpy as np
import pytest
import torch
from lessons import everything, learner, stripes

from sdlora.bundle import Weakest
from sdlora.learner.measure import answers, features, weakest
from sdlora.streams import TaskSplit


def split(count=7):
    return TaskSplit(stripes().test.images, np.arange(count), stripes().test.labels[:count], learner().augment)


def test_answers_are_the_likeliest_classes():
    made = learner("probe", (0, 1, 2))
    expected = made.predict_proba(everything()[:7]).argmax(1)
    assert np.array_equal(answers(made.method, split(), made.device), expected)
    assert len(answers(made.method, split(0), made.device)) == 0


def test_features_are_those_of_the_backbone():
    made = learner("probe", (0, 1))
    images = torch.from_numpy(everything()[:7]).permute(0, 3, 1, 2).float() / 255
    torch.testing.assert_close(features(made.method, split(), made.device), made.backbone(images))


def test_a_mode_stays_what_it_was():
    made = learner("probe", (0, 1))
    made.method.train()
    answers(made.method, split(), made.device)
    assert made.method.training


@pytest.mark.parametrize(
    ("labels", "said", "expected"),
    [
        ([0, 0, 1, 1], [0, 0, 2, 1], Weakest(label="b", accuracy=0.5, taken_for="c")),
        ([0, 1], [0, 1], Weakest(label="a", accuracy=1.0, taken_for=None)),
        ([0, 0, 0, 1], [1, 2, 2, 1], Weakest(label="a", accuracy=0.0, taken_for="c")),
    ],
)
def test_the_weakest_class(labels, said, expected):
    assert weakest(np.array(labels), np.array(said), ("a", "b", "c")) == expected
