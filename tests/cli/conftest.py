"""A recipe that trains in a second, and a way to run a command in this process."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import Any

import pytest
from shops import open_shop

from sdlora.cli.main import main

RECIPE = """
[run]
seeds = [0]
output_dir = "runs/tiny"
device = "cpu"

[stream]
dataset = "synthetic"
num_tasks = 2

[data]
num_classes = 4
train_images = 8
test_images = 5

[backbone]
name = "untrained_vit"
options = { width = 16, depth = 1 }

[method]
name = "sdlora"
rank = 2

[optim]
name = "sgd"
lr = 0.05
momentum = 0.9
epochs = 2
batch_size = 8
"""


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def sdlora(capsys):
    """Return a function that runs a command and returns its exit code and what it printed."""

    def run(*words: str) -> Answer:
        capsys.readouterr()
        code = main([str(word) for word in words])
        captured = capsys.readouterr()
        return Answer(code, captured.out, captured.err)

    return run


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """Work in an empty folder that holds tiny.toml."""
    (tmp_path / "tiny.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """A folder with a taught model; to be copied, not changed."""
    root = tmp_path_factory.mktemp("shops")
    open_shop(root)
    return root


@pytest.fixture
def shop(template, tmp_path, monkeypatch):
    """Work in a folder of one's own that holds shop/, spring/, autumn/ and test/."""
    shutil.copytree(template, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path
