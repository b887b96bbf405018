import pytest

from sdlora.reports.text import (
    duration,
    listed,
    parameters,
    percent,
    plural,
    plus_minus,
    points,
    printable,
    short_count,
    size,
    times,
)


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.9157, "91.6"), (1.0, "100.0"), (-0.034, "−3.4"), (-0.0001, "0.0"), (0.0, "0.0"), (None, "–")],
)
def test_percent(fraction, text):
    assert percent(fraction) == text


def test_mean_and_deviation():
    assert plus_minus(0.916, 0.007) == "91.6 ± 0.7"
    assert plus_minus(0.916, None) == "91.6"
    assert plus_minus(None, None) == "–"


@pytest.mark.parametrize(("fraction", "text"), [(0.364, "+36.4"), (-0.05, "−5.0"), (0.0, "+0.0"), (-0.0001, "+0.0")])
def test_points(fraction, text):
    assert points(fraction) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "–"), (0, "0"), (999, "999"), (1930, "1.9 k"), (99_949, "99.9 k"), (99_951, "100 k"), (775_880, "776 k"),
     (999_499, "999 k"), (999_500, "1.00 M"), (2_738_600, "2.74 M"), (85_800_000, "85.8 M")],
)  # fmt: skip
def test_parameters(count, text):
    assert parameters(count) == text


@pytest.mark.parametrize(("count", "text"), [(0, "0"), (500, "500"), (50_000, "50 k"), (2e6, "2 M"), (2.5e6, "2.5 M")])
def test_short_count(count, text):
    assert short_count(count) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(None, "–"), (1.04, "1.0 s"), (62.4, "62 s"), (99.6, "1.7 min"), (5969, "99.5 min"), (9000, "2.5 h")],
)
def test_duration(seconds, text):
    assert duration(seconds) == text


def test_nothing_in_a_name_steers_a_terminal():
    assert printable("a\x1b[2J\r\nb\x00\x7f") == r"a\x1b[2J\r\nb\x00\x7f"
    assert printable("abc\u202eexe\u2028\ud800") == r"abc\u202eexe\u2028\ud800"


def test_names_in_any_script_stay():
    name = "Käse, 猫, Αλφα, می\N{ZERO WIDTH NON-JOINER}خواهم, 👩\N{ZERO WIDTH JOINER}🔬"
    assert printable(name) == name


def test_lists_and_plurals():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert (plural(1, "seed"), plural(3, "seed")) == ("1 seed", "3 seeds")


@pytest.mark.parametrize(
    ("count", "text"),
    [(None, "–"), (0, "0 B"), (999, "999 B"), (1536, "1.54 kB"), (999_700, "1 MB"), (14_200_000, "14.2 MB"),
     (816_000_000, "816 MB"), (2.5e9, "2.5 GB")],
)  # fmt: skip
def test_size(count, text):
    assert size(count) == text


def test_times():
    assert [times(ratio) for ratio in (None, 1, 20.264)] == ["–", "1.00 ×", "20.26 ×"]
