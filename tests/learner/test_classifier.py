import numpy as np
import torch
from lessons import Stripes, everything, learner

from sdlora.learner.classifier import Classifier


def asked(made, version="7-abcd"):
    state, description = made._taught()
    return Classifier(state.predictor, description, made.augment, made.device, version)


def test_its_answers_are_those_of_the_learner():
    made = learner("probe", (0, 1, 2))
    batch = torch.from_numpy(np.stack([made.preprocess(image) for image in everything()[:5]]))
    shares = asked(made).probabilities(batch)
    assert shares.dtype == np.float32
    np.testing.assert_array_equal(shares, made.predict_proba(everything()[:5]))
    np.testing.assert_allclose(shares.sum(1), 1, atol=1e-6)


def test_what_is_taught_meanwhile_does_not_reach_it():
    made = learner("probe", (0, 1))
    before = asked(made)
    expected = before.predict_proba(everything()[:4], batch_size=None)
    made.learn(Stripes((2, 3)), epochs=1)
    made.rename({"stripes 0": "zero"})
    np.testing.assert_array_equal(before.predict_proba(everything()[:4], batch_size=2), expected)
    found = before.predict(everything()[:4], top_k=9, threshold=0.5, batch_size=3)
    assert {label for answer in found for label, _ in answer} == {"stripes 0", "stripes 1"}
    assert {answer.model_version for answer in found} == {"7-abcd"}


def test_no_image_is_no_row():
    assert asked(learner("probe", (0, 1, 2))).predict_proba([], batch_size=None).shape == (0, 3)
