"""A way to run a command in this process, and a folder to work in."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from typing import Any

import pytest
from shops import open_shop
from tiny import RECIPE

from sdlora.cli.main import main


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
