from xml.etree import ElementTree

import pytest

from sdlora.reports.charts import HALF, NARROW, WIDE, Series, line_chart, looks

LOOKS = looks(["sdlora", "lora"], ["joint"])
AXES = ("accuracy, %", "after task")


def series(label, values, spreads=None):
    return Series(label, LOOKS[label], values, spreads or [None] * len(values))


def drawn(lines, width=WIDE, **more):
    return ElementTree.fromstring(str(line_chart(lines, width, alt="alt", axes=AXES, **more)))


def texts(root, css):
    return [node.text for node in root.iter("text") if node.attrib["class"] == css]


def test_points_lie_where_their_values_are():
    root = drawn([series("sdlora", [100.0, 60.0, 80.0])])
    line = next(node for node in root.iter("path") if node.attrib["class"] == "line")
    (x1, y1), (x2, y2), (x3, y3) = (map(float, pair.split()) for pair in line.attrib["d"].strip("M").split("L"))
    assert x2 - x1 == pytest.approx(x3 - x2, abs=0.2)
    assert y1 < y3 < y2
    assert y3 - y1 == pytest.approx(y2 - y3, abs=0.2)


def test_bands_need_more_than_one_seed():
    assert not [n for n in drawn([series("lora", [90.0, 80.0])]).iter("path") if n.attrib["class"] == "band"]
    root = drawn([series("lora", [90.0, 80.0], [1.0, 2.0])])
    (band,) = (node for node in root.iter("path") if node.attrib["class"] == "band")
    assert band.attrib["d"].count("L") == 3


def test_a_band_ends_where_the_axis_does():
    root = drawn([series("lora", [90.0, 50.0], [30.0, 10.0])])
    (band,) = (node for node in root.iter("path") if node.attrib["class"] == "band")
    corners = [float(pair.split()[1]) for pair in band.attrib["d"].strip("MZ").split("L")]
    grid = [float(node.attrib["y1"]) for node in root.iter("line") if node.attrib["class"] in ("grid", "axis")]
    assert min(corners) == pytest.approx(min(grid), abs=0.1)


def test_wide_charts_are_labelled_and_narrow_ones_leave_it_to_the_legend():
    lines = [series("sdlora", [90.0, 80.0]), series("lora", [90.0, 60.0])]
    assert texts(drawn(lines), "label") == ["sdlora 80.0", "lora 60.0"]
    assert texts(drawn(lines, has_end_values=False), "label") == ["sdlora", "lora"]
    for width in (HALF, NARROW):
        assert texts(drawn(lines, width), "label") == []


def test_joint_training_is_a_level():
    root = drawn([series("sdlora", [90.0, 80.0]), series("joint", [95.0])])
    (level,) = (node for node in root.iter("line") if node.attrib["class"] == "line")
    assert level.attrib["y1"] == level.attrib["y2"]
    assert level.attrib["stroke-dasharray"]


def test_every_point_says_what_it_is():
    root = drawn([series("lora", [90.0, 80.0], [1.0, 2.0])])
    tips = [node.text for node in root.iter("title")]
    assert tips == ["lora, after task 1: 90.0 ± 1.0", "lora, after task 2: 80.0 ± 2.0"]


def test_long_streams_name_every_fifth_task():
    root = drawn([series("lora", [90.0] * 20)])
    assert [text for text in texts(root, "tick") if text.isdigit() and int(text) <= 20] == ["1", "5", "10", "15", "20"]


def test_the_first_series_lies_on_top():
    root = drawn([series("sdlora", [90.0, 80.0]), series("lora", [90.0, 60.0])])
    groups = [node.attrib["class"] for node in root if node.tag == "g"]
    assert groups[:2] == ["m1", "m0"]
