"""B4: bundles of every release load for ever and answer as on their day.

A folder of tests/golden for each release, in it a bundle and its probabilities for each method. A new release adds a
folder and changes none: `learner(method, *LESSONS).save(...)`, asked for every sixth test picture.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from lessons import everything

from sdlora.learner import Learner
from sdlora.methods import METHODS

GOLDEN = Path(__file__).parents[1] / "golden"
BUNDLES = sorted(path for path in GOLDEN.glob("*/*") if path.is_dir())


LESSONS = ((0, 1), (2,), (3, 4))
OF_TWO_CLASSES = ((0, 1), (2, 3), (4, 5))  # for methods that cannot learn one alone
PROMPTS = ("coda_prompt", "dualprompt", "hide_prompt", "l2p")
WITHOUT_HEAD = ("ease", "ranpac", "simplecil")  # a class alone is learned as others are


def test_there_is_a_bundle_of_each_method_of_the_first_release():
    learning = {name for name in METHODS.names() if not METHODS.get(name).joint}
    assert {path.name for path in BUNDLES if path.parent.name == "0.1.0"} == learning


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_it_loads_and_answers_as_on_its_day(path):
    made = Learner.load(path, device="cpu")
    expected = json.loads((path.parent / f"{path.name}.json").read_text())["probabilities"]
    np.testing.assert_allclose(made.predict_proba(everything()[::6]), expected, atol=1e-6)
    lessons = OF_TWO_CLASSES if path.name in PROMPTS else LESSONS
    assert made.classes == tuple(f"stripes {number}" for lesson in lessons for number in lesson)
    is_imprinted = lessons is LESSONS and path.name not in WITHOUT_HEAD
    assert [record.is_imprinted for record in made.history] == [False, is_imprinted, False]
    assert made.undo().task == 3
