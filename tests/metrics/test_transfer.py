import pytest

from sdlora.metrics import AccuracyMatrix, backward_transfer
from sdlora.metrics.toolboxes import avalanche_forgetting


def test_three_tasks_by_hand(matrix):
    assert backward_transfer(matrix) == pytest.approx(((0.6 - 0.9) + (0.55 - 0.5)) / 2, abs=1e-15)


def test_there_is_none_without_an_old_task(joint):
    assert backward_transfer(AccuracyMatrix(((5,),), ((10,),))) is None
    assert backward_transfer(joint) is None


def test_it_is_minus_first_minus_last(matrix):
    assert backward_transfer(matrix) == -avalanche_forgetting(matrix)
