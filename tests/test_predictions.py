import json
import pickle

import numpy as np
import pytest

from sdlora.errors import ConfigError
from sdlora.predictions import ClassProbability, Evaluation, Prediction, make_evaluation, make_predictions

CLASSES = ("daisy", "rose", "fir", "pine")
TASKS = (1, 1, 2, 2)


def predict(*rows, images=None, **options):
    return make_predictions(
        np.array(rows, dtype=np.float32), CLASSES, TASKS, images=images or [None] * len(rows), **options
    )


def test_a_prediction_is_the_likeliest_classes_best_first():
    (found,) = predict([0.125, 0.25, 0.5, 0.125])
    assert list(found) == [("fir", 0.5), ("rose", 0.25), ("daisy", 0.125)]
    assert (found.label, found.probability, found.task) == ("fir", 0.5, 2)
    assert found[0] == ClassProbability("fir", 0.5)
    assert found[1:] == (("rose", 0.25), ("daisy", 0.125))
    assert len(found) == 3
    assert all(type(probability) is float for _, probability in found)


def test_equal_probabilities_keep_the_order_of_the_classes():
    (found,) = predict([0.25, 0.25, 0.25, 0.25], top_k=4)
    assert [label for label, _ in found] == list(CLASSES)


def test_top_k_names_all_classes_if_there_are_fewer():
    assert [len(predict([0.7, 0.1, 0.1, 0.1], top_k=k)[0]) for k in (1, 2, 99)] == [1, 2, 4]


def test_unsure_is_below_the_threshold_and_the_best_class_is_still_named():
    rows = [0.5, 0.5, 0, 0], [0.25, 0.4375, 0.25, 0.0625]
    assert [found.is_unsure for found in predict(*rows)] == [False, True]
    assert predict(*rows)[1].label == "rose"
    assert not predict(*rows, threshold=0.0)[1].is_unsure


@pytest.mark.parametrize(("options", "message"), [({"top_k": 0}, "top_k = 0"), ({"threshold": 50}, "threshold = 50")])
def test_options_that_mean_nothing_are_refused(options, message):
    with pytest.raises(ConfigError, match=message):
        predict([1, 0, 0, 0], **options)


def test_threshold_is_a_number():
    with pytest.raises(ConfigError, match="nan"):
        predict([1, 0, 0, 0], threshold=float("nan"))


def test_document_of_a_prediction():
    (found,) = predict([0.25, 0.75, 0, 0], images=["a.jpg"], top_k=2, model_version="2-1a2b")
    assert found.to_dict() == {
        "image": "a.jpg",
        "label": "rose",
        "probability": 0.75,
        "is_unsure": False,
        "task": 1,
        "top": [{"label": "rose", "probability": 0.75}, {"label": "daisy", "probability": 0.25}],
        "error": None,
    }
    assert found.model_version == "2-1a2b"
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_prediction_reads_well_and_cannot_steer_the_terminal():
    (found,) = predict([0.93, 0.04, 0.02, 0.01], images=["é\x1b[31m.jpg"], top_k=2)
    assert repr(found) == "Prediction(é\\x1b[31m.jpg: daisy 0.93, rose 0.04)"
    assert repr(predict([1, 0, 0, 0], top_k=1)[0]) == "Prediction(daisy 1.00)"


def test_a_prediction_can_be_hashed_compared_and_pickled():
    first, second = predict([1, 0, 0, 0], [1, 0, 0, 0])
    assert first == second
    assert len({first, second}) == 1
    assert pickle.loads(pickle.dumps(first)) == first
    assert isinstance(first, Prediction)


def evaluate(pairs, **options):
    labels, predicted = np.array(pairs, dtype=np.int64).T
    return make_evaluation(labels, predicted, CLASSES, TASKS, **options)


def test_counts_by_lesson_class_and_pair():
    found = evaluate([(0, 0), (0, 0), (0, 1), (0, 2), (2, 2), (2, 0), (2, 0), (2, 2), (2, 2), (2, 2), (2, 2), (2, 2)])
    assert found.num_images == 12
    assert found.accuracy == pytest.approx(8 / 12)
    assert found.accuracy_task_mean == pytest.approx((2 / 4 + 6 / 8) / 2)
    assert [(t.task, t.accuracy, t.num_classes, t.num_images) for t in found.tasks] == [(1, 0.5, 1, 4), (2, 0.75, 1, 8)]
    assert [(c.label, c.task, c.accuracy, c.num_images) for c in found.classes] == [
        ("daisy", 1, 0.5, 4),
        ("fir", 2, 0.75, 8),
    ]
    assert [(c.true, c.predicted, c.count) for c in found.confusions] == [
        ("fir", "daisy", 2),
        ("daisy", "rose", 1),
        ("daisy", "fir", 1),
    ]
    assert found.missing == ("rose", "pine")


def test_lessons_without_an_image_have_no_row():
    found = evaluate([(3, 3), (2, 2)], unknown=["orchid"])
    assert [t.task for t in found.tasks] == [2]
    assert found.accuracy == found.accuracy_task_mean == 1
    assert found.confusions == ()
    assert found.hardest(3) == ()
    assert found.unknown == ("orchid",)


def test_hardest_classes_come_worst_first_and_without_the_faultless():
    found = evaluate([(0, 0), (1, 0), (2, 2), (2, 2), (2, 1), (3, 3), (3, 0)])
    assert [entry.label for entry in found.hardest(5)] == ["rose", "pine", "fir"]
    assert [entry.label for entry in found.hardest(1)] == ["rose"]


def test_document_of_an_evaluation():
    document = evaluate([(0, 0), (1, 0)], unknown=["orchid"]).to_dict()
    assert list(document) == [
        "accuracy",
        "accuracy_task_mean",
        "num_images",
        "tasks",
        "classes",
        "confusions",
        "missing",
        "unknown",
    ]
    assert document["tasks"] == ({"task": 1, "accuracy": 0.5, "num_classes": 2, "num_images": 2},)
    assert json.loads(json.dumps(document, allow_nan=False))["confusions"] == [
        {"true": "rose", "predicted": "daisy", "count": 1}
    ]
    assert isinstance(evaluate([(0, 0)]), Evaluation)
