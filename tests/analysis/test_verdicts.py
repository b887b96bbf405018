import math

import numpy as np
import pytest

from sdlora.analysis.verdicts import closeness, importance, path, trend


def gram_of(*updates):
    rows = np.array(updates, dtype=np.float64)
    return rows @ rows.T


def test_weights_that_stay_together_far_from_the_start_are_close():
    found = closeness(gram_of([10, 0, 0], [10, 1, 0], [10, 0, 1]))
    start = (10 + 2 * math.sqrt(101)) / 3
    assert found.numbers["ratio"] == pytest.approx((1 + 1 + math.sqrt(2)) / 3 / start)
    assert found.verdict == "agrees"
    assert found.numbers["distances_to_start"] == pytest.approx(
        [10 / start, math.sqrt(101) / start, math.sqrt(101) / start]
    )
    assert found.numbers["mean_distances_to_other_tasks"] == pytest.approx(
        [1 / start, (1 + math.sqrt(2)) / 2 / start, (1 + math.sqrt(2)) / 2 / start]
    )


def test_a_walk_in_unrelated_directions_decides_nothing():
    found = closeness(gram_of(*np.tril(np.ones((5, 5)))))
    expected = (4 * 1 + 3 * math.sqrt(2) + 2 * math.sqrt(3) + 2) / 10 / (sum(map(math.sqrt, range(1, 6))) / 5)
    assert found.numbers["ratio"] == pytest.approx(expected)
    assert found.numbers["ratio_of_unrelated_steps"] == pytest.approx(expected)
    assert found.verdict == "undecided"


def test_weights_that_go_apart_disagree():
    found = closeness(gram_of([1, 0], [-1, 0]))
    assert found.numbers["ratio"] == pytest.approx(2)
    assert found.verdict == "disagrees"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3], "rises"),
        ([3, 2, 1], "falls"),
        ([1, 2, 3, 2.9, 4], "rises"),
        ([1, 5, 1.5, 4.5, 1.2], "level"),
        ([1, 2], "level"),
        ([2, 2, 2, 2], "level"),
        ([1, 1.2, 1.4], "level"),
    ],
)
def test_a_trend_is_clear_or_none(values, expected):
    assert trend(values, 0.5) == expected


RISING, FALLING = [0.80, 0.85, 0.9, 0.95], [1.2, 1.0, 0.8, 0.7, 5.0]


@pytest.mark.parametrize(
    ("residuals", "magnitudes", "verdict"),
    [
        (RISING, FALLING, "agrees"),
        (RISING[::-1], FALLING, "disagrees"),
        (RISING, [0.7, 0.8, 1.0, 1.2, 5.0], "disagrees"),
        (RISING, [0.820, 0.828, 0.829, 0.819, 0.8], "undecided"),
        ([0.999, 0.998, 0.997, 0.996], FALLING, "undecided"),
        (RISING, None, "undecided"),
        ([0.9], [1.0, 0.9], "undecided"),
    ],
)
def test_later_directions_matter_less(residuals, magnitudes, verdict):
    found = importance(residuals, magnitudes)
    assert found.verdict == verdict
    assert found.numbers["residuals"] == residuals
    assert found.numbers["magnitudes"] == magnitudes


def test_the_newest_magnitude_is_in_other_units_and_does_not_count():
    assert importance(RISING, [1.2, 1.0, 0.8, 0.7, 9.0]).numbers["magnitude_trend"] == "falls"
    assert importance(RISING, [1.0, 1.0, 1.0, 1.0, 0.1]).numbers["magnitude_trend"] == "level"


@pytest.mark.parametrize(("lowest", "verdict"), [(0.90, "agrees"), (0.86, "undecided"), (0.80, "disagrees")])
def test_a_path_alone(lowest, verdict):
    found = path([0.92, lowest, 0.91], 200)
    assert found.verdict == verdict
    assert found.numbers["drop"] == pytest.approx(0.92 - lowest)
    assert found.numbers["drop_against"] is None


@pytest.mark.parametrize(
    ("lowest", "num_images", "verdict"), [(0.70, 200, "agrees"), (0.86, 200, "undecided"), (0.86, 20_000, "agrees")]
)
def test_a_path_against_another(lowest, num_images, verdict):
    ours, theirs = [0.92, 0.91], [0.92, lowest, 0.9]
    assert path(ours, num_images, theirs, name="lora").verdict == verdict
    opposite = {"agrees": "disagrees", "undecided": "undecided"}[verdict]
    assert path(theirs, num_images, ours, name="lora").verdict == opposite


def test_a_finding_as_a_document():
    document = path([0.9, 0.8], 50, [0.9, 0.6], name="lora").to_dict()
    assert list(document) == ["number", "statement", "rule", "numbers", "summary", "verdict"]
    assert document["summary"] == "drop 10.0 points (lora 30.0)"
