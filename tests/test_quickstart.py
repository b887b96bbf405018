"""Every line of docs/quickstart.md runs, in its order, in an empty folder; lessons with fewer epochs than usual."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from sdlora.cli.main import main

PAGE = Path(__file__).parents[1] / "docs" / "quickstart.md"
ADDRESS = "http://127.0.0.1:8000"


def blocks():
    """Return language and text of every block that is to be run."""
    found = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [(language, text) for language, text in found if language]


def run_python(text):
    exec(compile(text, "quickstart.md", "exec"), {})


@pytest.mark.slow
def test_every_line_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    served = None
    count = 0
    try:
        for language, text in blocks():
            if language == "python" and served is None:
                run_python(text)
            elif language == "python":
                run_python(text.replace(ADDRESS, served.url))
            for line in text.splitlines() if language == "sh" else ():
                count += 1
                served = run_line(line) or served
    finally:
        if served is not None:
            served.stop()
    assert count == 13
    assert capsys.readouterr().out.rstrip().endswith("nine")


def run_line(line):
    words = shlex.split(line)
    if words[0] == "python":
        assert words == ["python", "pictures.py"]  # it ran as a block
        return None
    assert words[0] == "sdlora"
    if words[1] == "serve":
        return Served(words[1:])
    epochs = ["--epochs", "3"] if words[1] == "learn" and any(word.startswith("pictures/") for word in words) else []
    assert main([*words[1:], *epochs]) == 0, line
    return None


class Served:
    """A server in a process of its own, at any free port."""

    def __init__(self, words):
        command = [sys.executable, "-m", "sdlora.cli.main", *words, "--port", "0", "--json", "--quiet"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        text = ""
        while not _is_json(text):
            line = self.process.stdout.readline()
            assert line, "the server ended"
            text += line
        self.url = json.loads(text)["url"]

    def stop(self):
        with self.process:
            self.process.terminate()
            assert self.process.wait(60) == 0


def _is_json(text):
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
