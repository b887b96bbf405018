import pytest

from sdlora.metrics import AccuracyMatrix, forgetting, forgetting_by_task


def test_three_tasks_by_hand(matrix):
    assert forgetting_by_task(matrix) == pytest.approx((0.9 - 0.6, 0.5 - 0.55), abs=1e-15)
    assert forgetting(matrix) == pytest.approx((0.3 - 0.05) / 2, abs=1e-15)


def test_the_best_need_not_be_the_first():
    matrix = AccuracyMatrix(((5,), (8, 5), (6, 5, 5)), ((10,), (10, 10), (10, 10, 10)))
    assert forgetting_by_task(matrix) == (0.2, 0.0)


def test_there_is_none_without_an_old_task(joint):
    single = AccuracyMatrix(((5,),), ((10,),))
    assert forgetting(single) is None
    assert forgetting(joint) is None
    assert forgetting_by_task(joint) == ()


def test_the_newest_old_task_counts():
    """Only task 2 of 3 falls; a sum that drops it would be 0."""
    matrix = AccuracyMatrix(((9,), (9, 9), (9, 0, 9)), ((10,), (10, 10), (10, 10, 10)))
    assert forgetting(matrix) == pytest.approx(0.45)


@pytest.mark.parametrize(("tasks", "percent"), [("ten_tasks", 5.17), ("twenty_tasks", 6.4558)])
def test_released_logs_in_order_of_arrival(released_logs, tasks, percent):
    matrix = AccuracyMatrix.from_percent(released_logs[tasks])
    assert 100 * forgetting(matrix) == pytest.approx(percent, abs=5e-5)
