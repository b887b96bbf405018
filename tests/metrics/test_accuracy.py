import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdlora.metrics import (
    AccuracyMatrix,
    aaa,
    acc,
    accuracy_after_each_task,
    weighted_aaa,
    weighted_acc,
    weighted_accuracy_after_each_task,
)

sizes = st.integers(1, 50)


def matrices(totals):
    """Draw matrices of up to six tasks."""

    def fill(groups):
        rows = [st.tuples(*(st.integers(0, size) for size in groups[: i + 1])) for i in range(len(groups))]
        return st.tuples(*rows).map(
            lambda hits: AccuracyMatrix(hits, tuple(tuple(groups[: i + 1]) for i in range(len(groups))))
        )

    return st.lists(totals, min_size=1, max_size=6).flatmap(fill)


def test_three_tasks_by_hand(matrix):
    assert accuracy_after_each_task(matrix) == (0.9, 0.65, pytest.approx(1.55 / 3, abs=1e-15))
    assert acc(matrix) == pytest.approx((0.6 + 0.55 + 0.4) / 3, abs=1e-15)
    assert aaa(matrix) == pytest.approx((0.9 + 0.65 + 1.55 / 3) / 3, abs=1e-15)
    assert weighted_accuracy_after_each_task(matrix) == (0.9, 18 / 30, 37 / 80)
    assert weighted_acc(matrix) == 37 / 80
    assert weighted_aaa(matrix) == pytest.approx((0.9 + 0.6 + 0.4625) / 3, abs=1e-15)


def test_joint_training_has_an_end_and_no_course(joint):
    assert acc(joint) == 0.7
    assert weighted_acc(joint) == 48 / 80
    assert aaa(joint) is None
    assert weighted_aaa(joint) is None


def test_released_log_is_weighted_by_images(released_logs):
    """The log's own curve lies close to the task mean, and nowhere equals it after the first task."""
    curve = accuracy_after_each_task(AccuracyMatrix.from_percent(released_logs["ten_tasks"]))
    logged = [value / 100 for value in released_logs["ten_tasks_logged_curve"]]
    assert curve[0] == logged[0]
    assert all(0 < abs(ours - theirs) < 0.004 for ours, theirs in zip(curve[1:], logged[1:], strict=True))


@settings(deadline=None)
@given(matrices(sizes))
def test_averages_stay_between_the_worst_and_the_best_entry(matrix):
    for curve in (accuracy_after_each_task(matrix), weighted_accuracy_after_each_task(matrix)):
        for i, value in enumerate(curve):
            assert float(min(matrix.row(i))) <= value <= float(max(matrix.row(i)))
    assert acc(matrix) == accuracy_after_each_task(matrix)[-1]
    assert aaa(matrix) == pytest.approx(math.fsum(accuracy_after_each_task(matrix)) / matrix.num_rows, abs=1e-15)


@settings(deadline=None)
@given(matrices(st.just(17)))
def test_groups_of_one_size_make_both_averages_equal(matrix):
    assert acc(matrix) == weighted_acc(matrix)
    assert aaa(matrix) == weighted_aaa(matrix)
    assert accuracy_after_each_task(matrix) == weighted_accuracy_after_each_task(matrix)


@settings(deadline=None)
@given(matrices(sizes), st.integers(2, 5))
def test_showing_every_image_several_times_changes_nothing(matrix, times):
    def repeat(rows):
        return tuple(tuple(value * times for value in row) for row in rows)

    repeated = AccuracyMatrix(repeat(matrix.hits), repeat(matrix.totals))
    for metric in (acc, aaa, weighted_acc, weighted_aaa):
        assert metric(repeated) == metric(matrix)
