import io

import pytest
import torch
from rich.console import Console as RichConsole

from sdlora.cli import progress as progress_module
from sdlora.cli.console import Console
from sdlora.cli.progress import TrainingProgress
from sdlora.engine import Progress, StepReport


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves."""

    class Clock:
        now = 100.0

    monkeypatch.setattr(progress_module.time, "monotonic", lambda: Clock.now)
    return Clock


def report(done=100, epoch=0, loss=0.5):
    return StepReport(
        task=1,
        num_tasks=5,
        epoch=epoch,
        num_epochs=3,
        step=4,
        num_steps=10,
        done_images=done,
        total_images=1000,
        lr=0.1,
        loss=torch.tensor(loss),
    )


def test_a_line_for_each_epoch_with_speed_and_time_left(clock, capsys):
    progress = TrainingProgress(Console(), "sdlora seed 0", later_runs=2)
    with progress:
        progress.on_start(Progress())
        progress.on_step(report(done=100))
        clock.now += 10
        progress.on_step(report(done=300))
        progress.on_epoch({"loss": 0.25})
    assert capsys.readouterr().err == (
        "  sdlora seed 0  task 2/5  epoch 1/3  loss 0.25  20 images/s  35 s left, all 2.2 min\n"
    )
    assert progress.place == "task 2, epoch 1"


def test_a_line_each_half_minute_within_a_long_epoch(clock, capsys):
    progress = TrainingProgress(Console(), "a")
    progress.on_start(Progress())
    for done in range(100, 1000, 100):
        clock.now += 10
        progress.on_step(report(done=done))
    assert len(capsys.readouterr().err.splitlines()) == 3


def test_where_an_interrupted_run_goes_on(capsys):
    console = Console()
    TrainingProgress(console, "a").on_start(Progress(task=2, phase="train", epoch=1))
    TrainingProgress(console, "a").on_start(Progress(task=2, phase="evaluate", epoch=3))
    fresh = TrainingProgress(console, "a")
    assert not fresh.is_begun
    fresh.on_start(Progress())
    assert fresh.is_begun
    assert capsys.readouterr().err.splitlines() == [
        "  a found at task 3, epoch 2: continues there",
        "  a found at task 3: continues there",
    ]


def test_a_task_tells_the_mean_and_each(capsys):
    progress = TrainingProgress(Console(), "a")
    progress.on_task({"task": 0, "accuracy": [0.9, None, None]})
    progress.on_task({"task": 1, "accuracy": [0.8, 0.5, None]})
    assert capsys.readouterr().err.splitlines() == [
        "  a  task 1 learned  accuracy 90.0 %",
        "  a  task 2 learned  accuracy 65.0 %  (task 1-2: 80.0  50.0)",
    ]


def test_quiet_says_nothing(clock, capsys):
    progress = TrainingProgress(Console(quiet=True), "a")
    with progress:
        progress.on_start(Progress(task=1))
        clock.now += 100
        progress.on_step(report())
        progress.on_epoch({"loss": 0.25})
        progress.on_task({"task": 0, "accuracy": [0.9]})
        progress.on_warning("something")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("width", [80, 120])
def test_a_bar_on_a_terminal_fits_its_width(clock, width):
    console = Console()
    screen = io.StringIO()
    console.stderr = RichConsole(file=screen, force_terminal=True, width=width, color_system=None)
    with TrainingProgress(console, "sdlora seed 0", later_runs=1) as progress:
        progress.on_start(Progress())
        progress.on_step(report(done=100))
        clock.now += 10
        progress.on_step(report(done=500, epoch=1, loss=0.125))
        progress._bar.refresh()
        progress.on_epoch({"loss": 0.25})
    lines = [line for line in screen.getvalue().replace("\r", "\n").splitlines() if "loss 0.12" in line]
    assert lines
    for text in ("sdlora seed 0  task 2/5  epoch 2/3", " 50 %", "12 s left", "━"):
        assert text in lines[-1]
    assert ("40 images/s" in lines[-1]) == (width == 120)
    assert ("all 38 s" in lines[-1]) == (width == 120)
    assert "0.25" not in screen.getvalue()  # the bar stands for the lines of the epochs
