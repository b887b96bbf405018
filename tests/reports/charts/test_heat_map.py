from xml.etree import ElementTree

import pytest

from sdlora.reports.charts import NARROW, heat_map, scale_bar

AXES = ("tested on task", "after task")


def drawn(rows, low=0.0, high=100.0, **more):
    return ElementTree.fromstring(str(heat_map(rows, low, high, alt="alt", axes=AXES, **more)))


def cells(root):
    return list(root.iter("rect"))


def values(root):
    return [node.text for node in root.iter("text") if node.attrib["class"].startswith("value")]


def test_a_triangle_of_cells():
    root = drawn([[97.0], [50.4, 0.0]])
    assert [rect.attrib["fill-opacity"] for rect in cells(root)] == ["0.97", "0.54", "0.07"]
    assert values(root) == ["97", "50", "0"]
    xs = [float(rect.attrib["x"]) for rect in cells(root)]
    ys = [float(rect.attrib["y"]) for rect in cells(root)]
    assert xs[0] == xs[1] < xs[2]
    assert ys[0] < ys[1] == ys[2]


def test_numbers_on_deep_cells_have_the_colour_of_the_page():
    root = drawn([[90.0], [10.0, 90.0]])
    css = [node.attrib["class"] for node in root.iter("text") if node.attrib["class"].startswith("value")]
    assert css == ["value deep", "value", "value deep"]


def test_values_outside_the_scale_take_its_ends():
    root = drawn([[120.0], [-5.0, 60.0]])
    assert [rect.attrib["fill-opacity"] for rect in cells(root)] == ["1.00", "0.07", "0.63"]
    assert cells(drawn([[1.0]], 1.0, 1.0))[0].attrib["fill-opacity"] == "1.00"


@pytest.mark.parametrize("count", [1, 5, 10, 20, 50])
def test_it_fits_a_phone_up_to_twenty_tasks(count):
    root = drawn([[50.0] * (i + 1) for i in range(count)])
    assert float(root.attrib["width"]) <= (NARROW if count <= 20 else 700)
    assert bool(values(root)) == (count <= 10)
    assert len(cells(root)) == count * (count + 1) // 2


def test_every_cell_says_what_it_is():
    tips = [node.text for node in drawn([[97.0], [50.0, 0.0]], decimals=2).iter("title")]
    assert tips[1] == "after task 2, tested on task 1: 50.00"


def test_scale_bar_goes_from_pale_to_deep():
    root = ElementTree.fromstring(str(scale_bar("0 %", "100 %")))
    opacities = [float(rect.attrib["fill-opacity"]) for rect in root.iter("rect")]
    assert opacities == sorted(opacities)
    assert (opacities[0], opacities[-1]) == (0.07, 1.0)
    assert [node.text for node in root.iter("text")] == ["0 %", "100 %"]
