import itertools

import pytest
import torch

from sdlora.costs import latency
from sdlora.costs.latency import FEWEST, LONGEST, MOST, side_by_side

IMAGES = torch.rand(4, 3, 2, 2)


@pytest.fixture
def timed(monkeypatch):
    """Time two predictions with a clock that moves by what they are said to take; return medians and calls."""

    def run(first, second):
        now, calls = [0.0], []

        def predict(name, durations):
            def call(images):
                assert not torch.is_grad_enabled()
                calls.append(name)
                now[0] += next(durations)
                return images

            return call

        monkeypatch.setattr(latency.time, "perf_counter", lambda: now[0])
        return side_by_side(predict("first", first), predict("second", second), IMAGES), calls

    return run


def test_turns_and_the_median_ratio_without_the_first_round(timed):
    found, calls = timed(iter([90.0, 1.0, 5.0, 2.0]), iter([70.0, 8.0, 8.0, 80.0]))
    assert found == (1 / 8 * 8 / 4, 8 / 4)  # the ratios are 1/8, 5/8 and 2/80
    assert calls == ["first", "second"] * (1 + FEWEST)


def test_quick_predictions_get_all_rounds(timed):
    found, calls = timed(itertools.repeat(0.25), itertools.repeat(0.01))
    assert len(calls) == 2 * (1 + MOST)
    assert found == pytest.approx((0.25 / 4, 0.01 / 4))


def test_no_round_begins_after_the_longest_time(timed):
    _, calls = timed(itertools.repeat(LONGEST / 10), itertools.repeat(LONGEST / 10))
    assert len(calls) == 10
