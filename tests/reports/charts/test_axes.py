from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdlora.reports.charts.axes import Scale, cut, log_ticks, nice_ticks, spread_out, vertical_axis
from sdlora.reports.charts.svg import Drawing


def test_scales():
    linear = Scale(0, 10, 100, 0)
    assert (linear(0), linear(5), linear(10)) == (100, 50, 0)
    assert Scale(1, 100, 0, 200, is_log=True)(10) == pytest.approx(100)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(43.8, 97.2, [40, 60, 80, 100]), (0, 4.2, [0, 1, 2, 3, 4, 5]), (-3, 21, [-5, 0, 5, 10, 15, 20, 25]),
     (0.81, 1.0, [0.8, 0.85, 0.9, 0.95, 1.0])],
)  # fmt: skip
def test_nice_ticks(low, high, ticks):
    assert nice_ticks(low, high, 5) == ticks


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_enclose_their_values_and_are_few(low, width):
    ticks = nice_ticks(low, low + width, 5)
    slack = 1e-6 * max(abs(low), width)
    assert ticks[0] <= low + slack
    assert low + width <= ticks[-1] + slack
    assert 2 <= len(ticks) <= 8


def test_one_value_has_an_axis_too():
    ticks = nice_ticks(80, 80, 5)
    assert ticks[0] < 80 < ticks[-1]
    assert nice_ticks(0, 0, 5)[0] < 0


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(38_000, 2_700_000, [20_000, 50_000, 100_000, 200_000, 500_000, 1e6, 2e6, 5e6]), (1, 1e4, [1, 10, 100, 1e3, 1e4])],
)
def test_log_ticks(low, high, ticks):
    assert log_ticks(low, high) == pytest.approx(ticks)


def test_labels_apart_stay_where_they_are():
    assert spread_out([50, 10, 90], 18, 0, 100) == [50, 10, 90]


def test_labels_that_touch_share_the_way():
    assert spread_out([50, 50], 10, 0, 100) == [45, 55]
    assert spread_out([52, 50, 10], 10, 0, 100) == [56, 46, 10]
    assert spread_out([2, 1], 10, 0, 100) == [10, 0]


@settings(deadline=None)
@given(st.lists(st.floats(0, 300), max_size=12))
def test_labels_never_overlap_nor_leave_the_axis(wanted):
    placed = spread_out(wanted, 18, 30, 300)
    ordered = sorted(placed)
    assert all(b - a >= 18 - 1e-6 for a, b in pairwise(ordered))
    assert all(30 - 1e-6 <= value <= 300 + 1e-6 for value in placed)
    assert [placed[i] for i in sorted(range(len(wanted)), key=wanted.__getitem__)] == ordered


def test_a_percentage_axis_ends_at_a_hundred():
    drawing = Drawing(100, 100, "")
    y = vertical_axis(drawing, [62.0, 101.5], Scale(0, 1, 0, 1), "%")
    assert (y.low, y.high) == (60, 100)


def test_long_labels_are_cut():
    assert cut("sdlora", 6) == "sdlora"
    assert cut("sdlora (rank=4)", 8) == "sdlora …"
