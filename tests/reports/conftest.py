from pathlib import Path

import pytest
from made_up_runs import MadeUp

from sdlora.reports.runs import Run, load_runs


@pytest.fixture
def made_up(tmp_path) -> MadeUp:
    """Writer of runs on a stream of ten tasks."""
    return MadeUp(tmp_path / "runs")


@pytest.fixture
def small(tmp_path) -> MadeUp:
    """Writer of runs on a stream of two tasks."""
    return MadeUp(tmp_path / "runs", stream="small_2", task_sizes=(2, 2))


@pytest.fixture(scope="session")
def full_folder(tmp_path_factory) -> Path:
    """Three methods and joint training, five seeds, ten tasks."""
    made = MadeUp(tmp_path_factory.mktemp("full") / "runs")
    for seed in range(5):
        for method, end in (("sdlora", 77), ("lora", 58), ("finetune", 41), ("joint", 90)):
            made.add(method, seed, end)
    return made.root


@pytest.fixture(scope="session")
def full(full_folder) -> list[Run]:
    return load_runs([full_folder])
