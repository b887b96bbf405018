"""Held-out accuracy while a lesson goes on: told, cheap, and without effect on the lesson."""

import pytest
import torch
from lessons import Stripes, learner

from sdlora.engine import Observer
from sdlora.learner import LessonObserver, glimpse
from sdlora.learner.defaults import has_heads
from sdlora.learner.glimpse import SHARE, Glimpse
from sdlora.learner.plan import plan_lesson
from sdlora.methods import METHODS
from sdlora.methods.linear_classifier import LinearClassifier

ABLE = [name for name in METHODS if issubclass(METHODS.get(name), LinearClassifier) and not METHODS.get(name).joint]


class Watching(LessonObserver):
    """Remembers what it was told."""

    def __init__(self):
        self.held_out, self.estimates, self.losses = [], [], []

    def on_held_out(self, accuracy):
        self.held_out.append(accuracy)

    def on_estimate(self, seconds):
        self.estimates.append(seconds)

    def on_step(self, report):
        self.losses.append(float(report.loss))


TRAINED = {"head": "linear"}  # what is trained predicts, in every lesson


def bits(name, observer):
    made = learner(name, (0, 1, 2), **(TRAINED if has_heads(METHODS.get(name)) else {}))
    made.learn(Stripes((3, 4)), epochs=6, progress=observer)
    return {key: value.clone() for key, value in made.method.state_dict().items()}, made.history[-1]


@pytest.mark.parametrize("name", ABLE)
def test_whoever_watches_changes_no_bit(name, monkeypatch):
    monkeypatch.setattr(glimpse, "SHARE", 1e9)
    watching = Watching()
    watched, record = bits(name, watching)
    alone, _ = bits(name, Observer())
    assert watched.keys() == alone.keys()
    assert all(torch.equal(watched[key], alone[key]) for key in watched)
    assert len(watching.held_out) == (record.epochs - 1 if record.epochs else 0)
    assert set(watching.held_out) <= {0.0, 0.25, 0.5, 0.75, 1.0}  # of the four images that are held out


def test_it_is_the_accuracy_of_that_moment(monkeypatch):
    monkeypatch.setattr(glimpse, "SHARE", 1e9)
    made, data, watching = learner("probe", **TRAINED), Stripes((0, 1, 2, 3)), Watching()
    made.learn(data, epochs=3, progress=watching)
    fewer = learner("probe", **TRAINED)
    assert watching.held_out[1] == fewer.learn(data, epochs=2).held_out_accuracy


@pytest.mark.parametrize("name", ["simplecil", "ranpac"])
def test_methods_that_cannot_answer_yet_are_not_asked(name, monkeypatch):
    monkeypatch.setattr(glimpse, "SHARE", 1e9)
    watching = Watching()
    bits(name, watching)
    assert watching.held_out == []


def test_it_takes_no_more_than_its_share(monkeypatch):
    """Measuring takes 1 s and an epoch 10 s: after the first time, one in two epochs pays for it."""

    class Clock:
        now = 0.0

    def answers(method, split, device, watch):
        Clock.now += 1.0
        return split.labels

    monkeypatch.setattr(glimpse.time, "monotonic", lambda: Clock.now)
    monkeypatch.setattr(glimpse, "answers", answers)
    made, watching = learner("probe", (0, 1), **TRAINED), Watching()
    split = Stripes((0, 1))
    held_out = plan_of(made, split).held_out
    looking = Glimpse(made.method, held_out, watching, made.device, lambda: None)
    for _ in range(20):
        Clock.now += 10.0
        looking.take()
    spent = len(watching.held_out)
    assert spent * 1.0 <= SHARE * Clock.now + 1.0
    assert spent >= SHARE * 200 - 1


def plan_of(made, data):
    from sdlora.learner.data import opened

    with opened(data, made.image_size) as images:
        return plan_lesson(images, made.classes, made.augment, holdout=0.25, update=True)


def test_the_estimate_counts_the_steps_that_are_left_and_what_follows(monkeypatch):
    from sdlora.learner import lesson, teaching

    monkeypatch.setattr(lesson.Pace, "step", lambda self, loss: 0.5)
    monkeypatch.setattr(teaching, "_seconds_later", lambda *_: 7.0)
    watching = Watching()
    learner("probe", **TRAINED).learn(Stripes((0, 1)), epochs=4, progress=watching)  # one step an epoch
    assert watching.estimates == [7.0 + 0.5 * left for left in (3, 2, 1, 0)]
    watching = Watching()
    learner("probe", **TRAINED).learn(Stripes((0, 1)), epochs=4_000_000, time_limit=10.0, progress=watching)
    assert watching.estimates[0] <= 10.0


def test_what_follows_training_is_timed_for_every_image_of_it(monkeypatch):
    from sdlora.learner import teaching

    monkeypatch.setattr(teaching, "_seconds_to_see", lambda learner, split, count: 0.25 * count)
    made = learner("probe", (0, 1), **TRAINED)
    plan = plan_of(made, Stripes((2, 3)))
    exams = [type("Exam", (), {"split": plan.held_out})]
    assert teaching._seconds_later(made, plan, exams) == 0.25 * (2 * len(plan.held_out) + len(plan.train))


def test_a_solved_head_is_measured_while_its_first_lesson_trains_and_not_later(monkeypatch):
    monkeypatch.setattr(glimpse, "SHARE", 1e9)
    made, first, second = learner("sdlora", adapt_tasks=2), Watching(), Watching()
    made.learn(Stripes((0, 1, 2)), epochs=3, progress=first)
    made.learn(Stripes((3, 4)), epochs=3, progress=second)  # its new rows are zero until the lesson ends
    assert (len(first.held_out), len(second.held_out)) == (2, 0)
