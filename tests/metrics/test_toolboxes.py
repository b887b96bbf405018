import pytest

from sdlora.metrics import AccuracyMatrix, forgetting
from sdlora.metrics.toolboxes import (
    avalanche_forgetting,
    libcontinual_backward_transfer,
    libcontinual_forgetting,
    mammoth_forgetting,
    pilot_forgetting,
    released_sdlora_forgetting,
)


def test_three_tasks_by_hand(matrix):
    assert avalanche_forgetting(matrix) == pytest.approx(((0.9 - 0.6) + (0.5 - 0.55)) / 2)
    assert pilot_forgetting(matrix) == mammoth_forgetting(matrix) == pytest.approx((0.9 - 0.6 + 0) / 2)
    assert libcontinual_forgetting(matrix) == pytest.approx((0.9 - 0.6) / 2)
    assert libcontinual_backward_transfer(matrix) == pytest.approx((0.6 - 0.9) / 3)


def test_definitions_part_where_the_best_is_not_the_first():
    matrix = AccuracyMatrix(((5,), (8, 5), (6, 5, 5)), ((10,), (10, 10), (10, 10, 10)))
    assert avalanche_forgetting(matrix) == pytest.approx(-0.05)
    assert forgetting(matrix) == pilot_forgetting(matrix) == pytest.approx(0.1)
    assert libcontinual_forgetting(matrix) == pytest.approx(-0.05)


def test_one_log_and_four_answers(released_logs):
    matrix = AccuracyMatrix.from_percent(released_logs["ten_tasks"])
    answers = (forgetting, pilot_forgetting, avalanche_forgetting, libcontinual_forgetting)
    assert [round(100 * answer(matrix), 2) for answer in answers] == [5.17, 5.17, 5.02, 5.0]


@pytest.mark.parametrize(("tasks", "size"), [("ten_tasks", 20), ("twenty_tasks", 10)])
def test_sorting_groups_as_text_gives_the_figure_that_was_logged(released_logs, tasks, size):
    rows = released_logs[tasks]
    printed = released_sdlora_forgetting(AccuracyMatrix.from_percent(rows), [size] * len(rows))
    assert 100 * printed == pytest.approx(released_logs[f"{tasks}_logged_forgetting"], abs=1e-12)


def test_sorting_as_text_does_no_harm_below_a_hundred_classes(matrix):
    assert released_sdlora_forgetting(matrix, [2, 2, 2]) == pilot_forgetting(matrix)


def test_too_few_tasks_give_nothing_or_zero(joint):
    single = AccuracyMatrix(((5,),), ((10,),))
    pair = AccuracyMatrix(((5,), (1, 5)), ((10,), (10, 10)))
    assert avalanche_forgetting(single) is pilot_forgetting(single) is None
    assert avalanche_forgetting(joint) is released_sdlora_forgetting(single, [2]) is None
    assert libcontinual_forgetting(pair) == libcontinual_backward_transfer(pair) == 0.0
