from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdlora.errors import DataError
from sdlora.metrics import AccuracyMatrix, acc, count_row, weighted_acc


def test_entries_are_exact_fractions(matrix):
    assert matrix[0, 0] == Fraction(9, 10)
    assert matrix[2, 1] == Fraction(11, 20)
    assert matrix.row(1) == (Fraction(4, 5), Fraction(1, 2))
    assert (matrix.num_rows, matrix.num_groups, matrix.is_joint) == (3, 3, False)


def test_one_row_over_all_groups_is_joint_training(joint):
    assert joint.is_joint
    assert (joint.num_rows, joint.num_groups) == (1, 3)
    assert not AccuracyMatrix(((1,),), ((2,),)).is_joint


def test_rows_may_be_padded_with_null(matrix):
    padded = AccuracyMatrix.from_rows(
        [[9, None, None], [8, 10, None], [6, 11, 20]], [[10, None, None], [10, 20, None], [10, 20, 50]]
    )
    assert padded == matrix


def test_numpy_integers_are_taken_and_fractions_refused():
    assert AccuracyMatrix.from_rows([[np.int64(3)]], [[np.int64(4)]])[0, 0] == Fraction(3, 4)
    with pytest.raises(TypeError):
        AccuracyMatrix.from_rows([[0.75]], [[1]])


@pytest.mark.parametrize(
    ("hits", "totals", "words"),
    [
        ([[11]], [[10]], "after task 1, group 1 has 11 hits among 10 images"),
        ([[-1]], [[10]], "-1 hits"),
        ([[0]], [[0]], "0 hits among 0 images"),
        ([[9], [8, 10]], [[10], [11, 20]], "group 1 has 10 images after task 1 and 11 after the last"),
        ([[9], [8]], [[10], [10]], r"rows have \[1, 1\] groups"),
        ([[9, 1], [8, 10]], [[10, 20], [10, 20]], r"rows have \[2, 2\] groups"),
        ([[9], [8, 10]], [[10], [10]], r"rows of hits have \[1, 2\] groups, rows of totals \[1, 1\]"),
        ([], [], r"rows have \[\] groups"),
        ([[]], [[]], r"rows have \[0\] groups"),
        ([[9], [None, 10]], [[10], [10, 20]], r"the row \[None, 10\] has a gap"),
    ],
)
def test_counts_that_no_stream_has_are_refused(hits, totals, words):
    with pytest.raises(DataError, match=words):
        AccuracyMatrix.from_rows(hits, totals)


def test_old_logs_in_percent_become_exact():
    matrix = AccuracyMatrix.from_percent([[89.24], ["86.97", 86.6]])
    assert matrix.row(1) == (Fraction("0.8697"), Fraction("0.866"))
    with pytest.raises(DataError, match="more than four decimals"):
        AccuracyMatrix.from_percent([[100 / 3]])


@settings(deadline=None)
@given(st.integers(1, 400).flatmap(lambda total: st.tuples(st.integers(0, total), st.just(total))))
def test_a_count_survives_where_rounded_accuracies_lose_images(count):
    hit, total = count
    matrix = AccuracyMatrix(((hit,),), ((total,),))
    assert matrix[0, 0] * total == hit
    assert acc(matrix) == hit / total


def test_truncating_accuracy_times_batch_loses_images_and_counting_does_not():
    lost = [hit for hit in range(101) if int(hit / 100 * 100) != hit]
    assert 29 in lost
    for hit in lost:
        predicted = np.zeros(100, dtype=np.int64)
        predicted[hit:] = 1
        assert count_row(predicted, np.zeros(100, dtype=np.int64), [2]) == ((hit,), (100,))


labelled = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=60)


@settings(deadline=None)
@given(labelled, st.randoms(use_true_random=False), st.integers(1, 60))
def test_counts_depend_on_neither_order_nor_batches(pairs, random, cut):
    def count(some):
        predicted, labels = np.array(some, dtype=np.int64).reshape(-1, 2).T
        return np.array(count_row(predicted, labels, [3, 5, 2]))

    shuffled = random.sample(pairs, len(pairs))
    assert (count(pairs) == count(shuffled)).all()
    assert (count(pairs) == count(shuffled[:cut]) + count(shuffled[cut:])).all()
    hits, totals = count(pairs)
    assert totals.tolist() == [sum(low <= true < high for _, true in pairs) for low, high in ((0, 3), (3, 8), (8, 10))]
    assert hits.sum() == sum(predicted == true for predicted, true in pairs)


def test_a_group_counts_as_wrong_what_goes_to_another_group():
    hits, totals = count_row(np.array([0, 1, 2, 3, 0]), np.array([0, 1, 3, 3, 3]), [2, 2])
    assert (hits, totals) == ((2, 1), (2, 3))
    matrix = AccuracyMatrix((hits,), (totals,))
    assert weighted_acc(matrix) == 3 / 5


@pytest.mark.parametrize("labels", [[0, 4], [-1, 0]])
def test_labels_outside_the_stream_are_refused(labels):
    with pytest.raises(DataError, match="labels run from"):
        count_row(np.zeros(2, dtype=np.int64), np.array(labels), [2, 2])
