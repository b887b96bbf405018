from xml.etree import ElementTree

import pytest

from sdlora.reports.charts.svg import Drawing


def parsed(drawing):
    return ElementTree.fromstring(str(drawing.markup()))


def test_a_picture_has_a_size_and_a_voice():
    root = parsed(Drawing(100, 50.25, "two lines"))
    assert root.attrib == {
        "viewBox": "0 0 100 50.2",
        "width": "100",
        "height": "50.2",
        "role": "img",
        "aria-label": "two lines",
    }
    assert parsed(Drawing(1, 1, "")).attrib["aria-hidden"] == "true"


def test_texts_attributes_and_tips_are_escaped():
    drawing = Drawing(10, 10, '"><script>')
    drawing.text(0, 0, "</svg><b>&", '" onload="x')
    drawing.marker("circle", (1, 1), "<i>")
    text = str(drawing.markup())
    assert text.count("<") == text.count(">") == len(["<svg>", "<text>", "</text>", "<circle>", "</circle>"]) + 3
    root = parsed(drawing)
    assert root.attrib["aria-label"] == '"><script>'
    assert [child.tag for child in root] == ["text", "circle"]
    assert root[0].text == "</svg><b>&"
    assert root[1][0].text == "<i>"


def test_groups_close():
    drawing = Drawing(10, 10, "")
    with drawing.group("outer"):
        with drawing.group("inner"):
            drawing.line((0, 0), (1, 1), "a")
        drawing.line((0, 0), (1, 1), "b", dash="1 2")
    drawing.path([(0, 0.04), (1.25, 2)], "c")
    root = parsed(drawing)
    assert [child.attrib["class"] for child in root] == ["outer", "c"]
    assert [child.attrib["class"] for child in root[0]] == ["inner", "b"]
    assert root[0][1].attrib["stroke-dasharray"] == "1 2"
    assert "stroke-dasharray" not in root[0][0][0].attrib
    assert root[1].attrib["d"] == "M0 0L1.2 2"


@pytest.mark.parametrize("shape", ["square", "triangle", "down", "diamond", "hexagon", "plus", "cross"])
def test_markers_lie_around_their_point(shape):
    drawing = Drawing(10, 10, "")
    drawing.marker(shape, (50, 70), size=4)
    path = parsed(drawing)[0].attrib["d"]
    corners = [tuple(map(float, pair.split())) for pair in path.strip("Mz").split("L")]
    assert all(2 <= max(abs(x - 50), abs(y - 70)) <= 6 for x, y in corners) or shape in ("plus", "cross")
    assert abs(min(x for x, _ in corners) + max(x for x, _ in corners) - 100) < 0.3


def test_joint_training_has_a_ring():
    drawing = Drawing(10, 10, "")
    drawing.marker("ring", (1, 2))
    assert parsed(drawing)[0].attrib["class"] == "ring"
