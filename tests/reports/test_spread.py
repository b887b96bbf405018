import math
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdlora.reports.spread import mean_std, paired_difference


def test_mean_and_deviation_by_hand():
    assert mean_std([]) == (None, None)
    assert mean_std([0.5]) == (0.5, None)
    mean, std = mean_std([0.1, 0.2, 0.6])
    assert mean == pytest.approx(0.3)
    assert std == pytest.approx(math.sqrt((0.04 + 0.01 + 0.09) / 2))


@pytest.mark.parametrize(("count", "quantile"), [(2, 12.7062), (3, 4.3027), (5, 2.7764), (11, 2.2281)])
def test_interval_has_the_tabled_quantile_of_student(count, quantile):
    gaps = [0.01 * (k % 3) for k in range(count)]
    found = paired_difference(dict(enumerate(gaps)), dict.fromkeys(range(count), 0.0))
    half = quantile * statistics.stdev(gaps) / math.sqrt(count)
    assert found.mean == pytest.approx(statistics.fmean(gaps))
    assert found.high - found.mean == pytest.approx(half, rel=1e-4)
    assert found.mean - found.low == pytest.approx(half, rel=1e-4)
    assert found.num_pairs == count


def test_only_seeds_that_both_have_are_paired():
    found = paired_difference({0: 0.9, 1: 0.8, 5: 0.1}, {0: 0.5, 1: 0.6, 7: 0.9})
    assert found.num_pairs == 2
    assert found.mean == pytest.approx(0.3)
    assert paired_difference({0: 0.9}, {1: 0.5}) is None


def test_one_pair_has_no_interval_and_is_never_clear():
    found = paired_difference({0: 0.9}, {0: 0.1})
    assert (found.low, found.high, found.is_clear) == (None, None, False)


def test_clear_means_that_zero_is_outside():
    base = dict.fromkeys(range(3), 0.5)
    assert paired_difference({0: 0.60, 1: 0.61, 2: 0.62}, base).is_clear
    assert paired_difference(base, {0: 0.60, 1: 0.61, 2: 0.62}).is_clear
    assert not paired_difference({0: 0.60, 1: 0.45, 2: 0.52}, base).is_clear


values = st.lists(st.floats(0, 1), min_size=2, max_size=8)


@settings(deadline=None)
@given(values, st.floats(-1, 1))
def test_what_both_share_cancels(firsts, shift):
    second = dict(enumerate(reversed(firsts)))
    plain = paired_difference(dict(enumerate(firsts)), second)
    moved = paired_difference({k: v + shift for k, v in enumerate(firsts)}, {k: v + shift for k, v in second.items()})
    assert moved.mean == pytest.approx(plain.mean, abs=1e-9)
    assert moved.low == pytest.approx(plain.low, abs=1e-8)
