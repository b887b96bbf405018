import json
from pathlib import Path

import pytest

from sdlora.metrics import AccuracyMatrix


@pytest.fixture(scope="session")
def released_logs() -> dict:
    """Accuracy tables of the released code of SD-LoRA on ImageNet-R, and the forgetting it printed, in percent."""
    return json.loads((Path(__file__).parent / "released_logs.json").read_text())


@pytest.fixture
def matrix() -> AccuracyMatrix:
    """Three tasks; groups of 10, 20 and 50 images; accuracies .9 | .8 .5 | .6 .55 .4."""
    return AccuracyMatrix(hits=((9,), (8, 10), (6, 11, 20)), totals=((10,), (10, 20), (10, 20, 50)))


@pytest.fixture
def joint() -> AccuracyMatrix:
    """One training task tested on three groups; accuracies .9 .7 .5."""
    return AccuracyMatrix(hits=((9, 14, 25),), totals=((10, 20, 50),))
