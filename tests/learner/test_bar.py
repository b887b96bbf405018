import io
import os
import re
import subprocess
import sys
import types
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from lessons import Stripes, learner

from sdlora.engine import Observer
from sdlora.learner import LessonObserver
from sdlora.learner.bar import LessonBar, has_screen, in_notebook, watching


class Screen(io.StringIO):
    def isatty(self):
        return True


def shown(teach):
    """Return what a terminal is sent while a function runs."""
    screen = Screen()
    with redirect_stderr(screen):
        teach()
    return screen.getvalue()


def test_a_terminal_shows_a_bar_that_goes_away(capsys, monkeypatch):
    monkeypatch.setattr("sdlora.learner.bar.SECONDS", 0.0)
    monkeypatch.setattr("sdlora.learner.glimpse.SHARE", 1e9)
    monkeypatch.setattr("tqdm.std.tqdm.monitor_interval", 0)
    states = shown(lambda: learner("sdlora").learn(Stripes((0, 1, 2)), epochs=3)).split("\r")
    text = "\n".join(states)
    assert "lesson 1:" in text
    assert re.search(r"36/54 .*epoch 2/3, loss \d\.\d\d, held-out \d+ %", text)  # 3 epochs of 18 images
    assert states[-1].strip() == ""
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("progress", [False, Observer()])
def test_a_bar_can_be_switched_off(progress):
    assert shown(lambda: learner("sdlora").learn(Stripes((0, 1)), epochs=2, progress=progress)) == ""


def test_a_bar_can_be_asked_for_where_nobody_seems_to_watch(capsys):
    learner("sdlora").learn(Stripes((0, 1)), epochs=2, progress=True)
    assert "lesson 1:" in capsys.readouterr().err


def test_an_interrupted_lesson_leaves_no_bar_behind():
    steps = []

    def interrupted():
        with pytest.raises(KeyboardInterrupt):
            learner("sdlora").learn(Stripes((0, 1)), epochs=5, should_stop=lambda: len(steps) == 3 or steps.append(0))

    states = shown(interrupted).split("\r")
    assert any("lesson 1:" in state for state in states)
    assert states[-1].strip() == ""


def test_a_lesson_without_steps_shows_nothing():
    made = learner("probe", (0, 1))
    assert shown(lambda: made.learn(Stripes((2,)))) == ""


def test_an_observer_is_handed_on_as_it_is():
    mine = LessonObserver()
    with watching(mine) as observer:
        assert observer is mine


def test_who_watches(monkeypatch):
    monkeypatch.setattr(sys, "stderr", Screen())
    assert has_screen()
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert not has_screen()
    monkeypatch.setattr(sys, "stderr", None)
    assert not has_screen()
    shell = types.SimpleNamespace(config={"IPKernelApp": {}})
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: shell))
    assert in_notebook()
    assert has_screen()
    with watching(None) as observer:
        assert isinstance(observer, LessonBar)
    shell.config = {"TerminalIPythonApp": {}}
    assert not in_notebook()


NOTEBOOK = """
import sys, types
shell = types.SimpleNamespace(config={"IPKernelApp": {}})
sys.modules["IPython"] = types.ModuleType("IPython")
sys.modules["IPython"].get_ipython = lambda: shell
sys.modules["ipykernel.zmqshell"] = types.ModuleType("zmqshell")
sys.modules["ipywidgets"] = None
from lessons import Stripes, learner
learner("sdlora").learn(Stripes((0, 1)), epochs=2)
"""


@pytest.mark.slow
def test_a_notebook_without_widgets_shows_characters():
    root = Path(__file__).parents[2]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "src"), str(root / "tests")])}
    command = [sys.executable, "-c", NOTEBOOK]
    answer = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120, check=True)
    assert "lesson 1:" in answer.stderr
    assert answer.stdout == ""
