"""B4: bundles of every release load for ever and answer as on their day.

A folder of tests/golden for each release, in it a bundle and its probabilities for each method, and for each head of
SD-LoRA. A new release adds a folder and changes none. Written by `python tests/bundle/test_golden.py RELEASE`.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))  # where the next line looks, run as a script too

from lessons import everything, learner

from sdlora.learner import Learner
from sdlora.methods import METHODS

GOLDEN = Path(__file__).parents[1] / "golden"
BUNDLES = sorted(path for path in GOLDEN.glob("*/*") if path.is_dir())


LESSONS = ((0, 1), (2,), (3, 4))
OF_TWO_CLASSES = ((0, 1), (2, 3), (4, 5))  # for heads that cannot learn one alone
TRAINED = ("finetune", "hide_prompt", "sdlora_linear")
OPTIONS: dict[str, dict[str, object]] = {
    "coda_prompt": {"layers": (0, 1)},
    "hide_prompt": {"layers": (0, 1)},
    "dualprompt": {"g_layers": (0,), "e_layers": (1,)},
    "ranpac": {"projection_dim": 64},
    "sdlora_linear": {"head": "linear"},
    "sdlora_last": {"layers": None, "adapt_tasks": None},
}


def lessons_of(name: str) -> tuple[tuple[int, ...], ...]:
    return OF_TWO_CLASSES if name in TRAINED else LESSONS


def write(release: str) -> None:
    """Teach and save every bundle of a release."""
    names = [name for name in METHODS if not METHODS.get(name).joint]
    for name in sorted({*names, *OPTIONS}):
        method = name if name in names else name.partition("_")[0]
        made = learner(method, *lessons_of(name), **OPTIONS.get(name, {}))
        made.save(GOLDEN / release / name)
        shares = made.predict_proba(everything()[::6]).tolist()
        (GOLDEN / release / f"{name}.json").write_text(json.dumps({"probabilities": shares}) + "\n")


def test_there_is_a_bundle_of_each_method_of_the_first_release():
    learning = {name for name in METHODS.names() if not METHODS.get(name).joint}
    assert {path.name for path in BUNDLES if path.parent.name == "0.1.0"} == learning | OPTIONS.keys()


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_it_loads_and_answers_as_on_its_day(path):
    made = Learner.load(path, device="cpu")
    expected = json.loads((path.parent / f"{path.name}.json").read_text())["probabilities"]
    np.testing.assert_allclose(made.predict_proba(everything()[::6]), expected, atol=1e-6)
    assert made.classes == tuple(f"stripes {number}" for lesson in lessons_of(path.name) for number in lesson)
    assert made.undo().task == 3


if __name__ == "__main__":
    write(sys.argv[1])
