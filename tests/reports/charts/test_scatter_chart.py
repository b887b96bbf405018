from xml.etree import ElementTree

from sdlora.reports.charts import HALF, Dot, looks, scatter_chart

LOOKS = looks(["sdlora", "lora"], [])


def drawn(*dots):
    made = scatter_chart(dots, HALF, alt="alt", axes=("Acc, %", "parameters"), text=lambda value: f"{value:g}")
    return ElementTree.fromstring(str(made))


def dot(label, x, y, spread=None):
    return Dot(label, LOOKS[label], x, y, spread)


def ticks(root):
    return [node.text for node in root.iter("text") if node.attrib.get("text-anchor") == "middle"]


def test_costs_within_ten_times_start_at_zero():
    assert ticks(drawn(dot("sdlora", 3.5, 80), dot("lora", 6.9, 60))) == ["0", "2", "4", "6", "8"]


def test_costs_further_apart_are_logarithmic():
    assert ticks(drawn(dot("sdlora", 1e3, 80), dot("lora", 9e4, 60))) == ["1000", "5000", "20000", "100000"]


def test_equal_and_zero_costs_have_an_axis():
    assert ticks(drawn(dot("sdlora", 0, 80), dot("lora", 0, 60)))
    assert ticks(drawn(dot("sdlora", 5, 80), dot("lora", 5, 60)))


def test_whiskers_need_more_than_one_seed():
    root = drawn(dot("sdlora", 1, 80, 2.0), dot("lora", 2, 60))
    assert len([node for node in root.iter("line") if node.attrib["class"] == "whisker"]) == 1


def test_labels_do_not_overlap():
    root = drawn(dot("sdlora", 1, 70.0), dot("lora", 1.1, 70.1))
    heights = [float(node.attrib["y"]) for node in root.iter("text") if node.attrib["class"] == "label"]
    assert abs(heights[0] - heights[1]) >= 15
