import pytest
import torch
from export.taught import taught

from sdlora.export import latency
from sdlora.export.latency import FEWEST, MOST, expected_seconds, latency_ratio, paired_ratio


class Machine:
    """A clock that work moves, on a machine whose speed changes.

    Args:
        slowness: Of the n-th piece of work.
    """

    def __init__(self, slowness=lambda n: 1.0):
        self.now, self.done, self.slowness = 100.0, [], slowness

    def work(self, name, seconds):
        def run():
            self.now += seconds * self.slowness(len(self.done))
            self.done.append(name)

        return run


@pytest.fixture
def machine(monkeypatch):
    """Return a function that puts a machine in the place of this one."""

    def put(*arguments):
        made = Machine(*arguments)
        monkeypatch.setattr(latency, "FEWEST", FEWEST)  # other tests are content with one round
        monkeypatch.setattr(latency, "MOST", MOST)
        monkeypatch.setattr(latency.time, "perf_counter", lambda: made.now)
        return made

    return put


def test_a_machine_that_slows_down_for_a_while_changes_nothing(machine):
    for begin in range(0, 24, 3):  # nine times slower for nearly half of the rounds, wherever that falls
        slow = machine(lambda n, begin=begin: 9.0 if begin <= n < begin + 10 else 1.0)
        assert paired_ratio(slow.work("a", 0.003), slow.work("b", 0.002)) == pytest.approx(1.5)


def test_a_hiccup_of_either_changes_nothing(machine):
    for number in range(2, 12):
        hiccup = machine(lambda n, number=number: 50.0 if n == number else 1.0)
        assert paired_ratio(hiccup.work("a", 0.01), hiccup.work("b", 0.01)) == pytest.approx(1.0)


def test_they_take_turns_in_coming_first(machine):
    steady = machine()
    paired_ratio(steady.work("a", 1.0), steady.work("b", 1.0))
    rounds = list(zip(steady.done[2::2], steady.done[3::2], strict=True))
    assert rounds == [("b", "a"), ("a", "b")] * (len(rounds) // 2) + [("b", "a")] * (len(rounds) % 2)


def test_a_steady_machine_needs_few_rounds_and_a_restless_one_as_many_as_there_is_time_for(machine):
    steady = machine()
    paired_ratio(steady.work("a", 0.001), steady.work("b", 0.001))
    assert len(steady.done) == 2 + 2 * FEWEST
    restless = machine(lambda n: 1.0 + n * 7 % 5)
    paired_ratio(restless.work("a", 0.001), restless.work("b", 0.001))
    assert len(restless.done) == 2 + 2 * MOST
    slow = machine(lambda n: 1.0 + n * 7 % 5)
    paired_ratio(slow.work("a", 10.0), slow.work("b", 10.0))
    assert len(slow.done) == 2 + 2 * FEWEST


def test_a_model_is_compared_with_the_backbone_as_it_was(monkeypatch):
    parts, seen = taught(), []

    def compared(first, second):
        seen.extend((first(), second()))
        return 1.25

    monkeypatch.setattr(latency, "paired_ratio", compared)
    assert latency_ratio(parts, lambda images: images) == 1.25
    image, logits = seen
    assert image.shape == (1, 3, parts.backbone.image_size, parts.backbone.image_size)
    assert logits.shape == (1, len(parts.classes))
    assert not torch.is_grad_enabled() or not logits.requires_grad


def test_the_check_is_foreseen_from_the_time_of_one_image(monkeypatch):
    monkeypatch.setattr(latency, "MOST", MOST)
    readings = iter([10.0, 10.5])
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(readings))
    assert expected_seconds(taught()) == 128 * 0.5 + latency.SECONDS
