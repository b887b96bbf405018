"""Colours are checked with the published matrices of Machado, Oliveira and Fernandes (2009), severity 1."""

import re
from importlib import resources
from itertools import combinations

import numpy as np
import pytest

from sdlora.reports.charts.palette import DARK, LIGHT, looks, swatch

TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
EYES = {
    "usual": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def linear(colour):
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb):
    x, y, z = (
        np.cbrt(v) if v > 0.008856 else 7.787 * v + 16 / 116 for v in TO_XYZ @ rgb / np.array([0.9505, 1, 1.089])
    )
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def contrast(first, second):
    low, high = sorted((TO_XYZ @ linear(colour))[1] for colour in (first, second))
    return (high + 0.05) / (low + 0.05)


def css_colour(name, theme):
    """Return a colour of the page's style: first for light, then for dark."""
    style = (resources.files("sdlora.reports") / "templates" / "page.css").read_text()
    return re.findall(rf"--{name}: (#[0-9a-f]{{6}})", style)[theme]


@pytest.mark.parametrize(("palette", "theme"), [(LIGHT, 0), (DARK, 1)])
def test_colours_stand_out_from_the_page(palette, theme):
    assert min(contrast(colour, css_colour("page", theme)) for colour in palette) >= 3


@pytest.mark.parametrize("theme", [0, 1])
def test_texts_can_be_read(theme):
    page = css_colour("page", theme)
    assert contrast(css_colour("ink", theme), page) >= 7
    assert contrast(css_colour("soft", theme), page) >= 4.5
    assert contrast(css_colour("link", theme), page) >= 4.5
    assert contrast(css_colour("ink", theme), css_colour("warm", theme)) >= 7
    assert contrast(css_colour("on-ramp", theme), css_colour("ramp", theme)) >= 4.5


@pytest.mark.parametrize("palette", [LIGHT, DARK])
@pytest.mark.parametrize("eye", list(EYES))
def test_colours_differ_for_every_eye(palette, eye):
    seen = [lab(np.clip(np.array(EYES[eye]) @ linear(colour), 0, 1)) for colour in palette]
    assert min(np.linalg.norm(a - b) for a, b in combinations(seen, 2)) >= 12


def test_methods_differ_without_any_colour():
    found = looks([f"method {k}" for k in range(56)], ["joint"])
    assert len({(look.dash, look.marker) for look in found.values()}) == 57
    first = [found[f"method {k}"] for k in range(7)]
    assert len({look.colour for look in first}) == len({look.dash for look in first}) == 7


def test_joint_training_has_the_ink_of_the_text():
    found = looks(["lora", "sdlora", "lora"], ["joint"])
    assert found["joint"].css_class == "joint"
    assert (found["lora"].css_class, found["sdlora"].css_class) == ("m0", "m1")


def test_swatch():
    text = str(swatch(looks(["lora"], [])["lora"]))
    assert 'class="m0"' in text
    assert 'aria-hidden="true"' in text
