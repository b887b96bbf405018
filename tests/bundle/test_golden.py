"""B4: bundles of every release load for ever and answer as on their day.

A folder of tests/golden for each release, in it a bundle and its probabilities for each of some methods. A new release
adds a folder and changes none: `learner(method, (0, 1), (2,), (3, 4)).save(...)`, asked for every sixth test picture.
"""

import json
from pathlib import Path

import numpy as np
import pytest
from lessons import everything

from sdlora.learner import Learner

GOLDEN = Path(__file__).parents[1] / "golden"
BUNDLES = sorted(path for path in GOLDEN.glob("*/*") if path.is_dir())


def test_there_are_bundles_of_the_first_release():
    assert {path.name for path in BUNDLES if path.parent.name == "0.1.0"} == {"sdlora", "lora", "probe", "simplecil"}


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_it_loads_and_answers_as_on_its_day(path):
    made = Learner.load(path, device="cpu")
    expected = json.loads((path.parent / f"{path.name}.json").read_text())["probabilities"]
    np.testing.assert_allclose(made.predict_proba(everything()[::6]), expected, atol=1e-6)
    assert made.classes == tuple(f"stripes {number}" for number in range(5))
    assert [record.is_imprinted for record in made.history] == [False, path.name != "simplecil", False]
    assert made.undo().task == 3
