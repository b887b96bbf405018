import pytest
import torch

from sdlora.learner import pace
from sdlora.learner.pace import SLOW, Pace


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test moves."""

    class Clock:
        now = 50.0

    monkeypatch.setattr(pace.time, "monotonic", lambda: Clock.now)
    return Clock


def told(clock, seconds):
    """Return what is known after each of some steps that took so long."""
    timed, answers = Pace(), []
    for taken in seconds:
        clock.now += taken
        answers.append(timed.step(torch.tensor(0.5)))
    return answers


def test_the_first_step_pays_for_what_is_set_up_once(clock):
    assert told(clock, (3.0, 0.2, 0.4, 0.2, 9.0)) == [None, None, pytest.approx(0.3), None, None]


def test_a_slow_first_step_is_the_measure(clock):
    assert told(clock, (SLOW + 1, 4.0, 4.0, 4.0)) == [SLOW + 1, None, None, None]


def test_a_loss_is_read_where_a_time_is_taken_and_nowhere_else(clock):
    read = []

    class Loss:
        def item(self):
            read.append(number)

    timed = Pace()
    for number in range(6):  # noqa: B007  the loss looks at it
        timed.step(Loss())
    assert read == [0, 2]
