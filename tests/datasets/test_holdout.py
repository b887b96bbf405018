import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sdlora.datasets.holdout import hold_out


@given(st.lists(st.integers(0, 5), max_size=80))
def test_a_fifth_of_each_class(labels):
    labels = np.array(labels, dtype=np.int64)
    held_out = hold_out(labels)
    for label in set(labels.tolist()):
        total, tested = (labels == label).sum(), held_out[labels == label].sum()
        assert tested == (0 if total < 4 else max(1, round(0.2 * total)))


def test_choice_is_fixed_and_another_class_does_not_move_it():
    alone = hold_out(np.zeros(20, dtype=np.int64))
    assert np.flatnonzero(alone).tolist() == [4, 5, 18, 19]
    assert np.array_equal(hold_out(np.repeat([3, 0], [20, 7]))[:20], alone)


def test_choice_is_spread_over_the_class():
    chosen = np.flatnonzero(hold_out(np.zeros(1000, dtype=np.int64)))
    assert (np.bincount(chosen // 250) > 30).all()
