from xml.etree import ElementTree

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from sdlora.errors import ConfigError
from sdlora.reports.readme_figure import figure_for_readme
from sdlora.reports.runs import load_runs


def test_svg_is_the_same_every_time_and_holds_no_date(full, tmp_path):
    first = figure_for_readme(full, tmp_path / "a.svg").read_bytes()
    second = figure_for_readme(full, tmp_path / "b.svg").read_bytes()
    assert first == second
    assert b"<dc:date>" not in first
    root = ElementTree.fromstring(first)
    assert root.tag.endswith("svg")
    assert b"<image" not in first
    assert b"<text" not in first  # letters are outlines, the same everywhere
    assert len(first) < 60_000


def test_png_shows_every_method_in_its_colour(full, tmp_path):
    path = figure_for_readme(full, tmp_path / "figure.png")
    with Image.open(path) as image:
        assert image.size == (1600, 840)
        pixels = np.asarray(image.convert("RGB")).reshape(-1, 3)
    for colour in ((0x0B, 0x62, 0xB5), (0xD1, 0x52, 0x0A), (0x0B, 0x8A, 0x6D), (0x14, 0x18, 0x1F)):
        assert (pixels == colour).all(axis=1).sum() > 500
    assert (pixels[0] == 255).all()


def test_it_leaves_global_settings_alone(full, tmp_path):
    before = dict(mpl.rcParams)
    figure_for_readme(full, tmp_path / "a.png")
    assert dict(mpl.rcParams) == before


def test_one_seed_and_long_streams_are_drawn(made_up, tmp_path):
    made_up.stream, made_up.task_sizes = "long_20", (5,) * 20
    made_up.add("sdlora", 0, name="kd", distill_threshold=9e-4)
    made_up.add("sdlora", 0)
    assert figure_for_readme(load_runs([made_up.root]), tmp_path / "a.svg").exists()


def test_several_comparisons_do_not_fit(full, small, tmp_path):
    small.add("lora", 0)
    with pytest.raises(ConfigError, match="2 comparisons do not fit into one figure"):
        figure_for_readme([*full, *load_runs([small.root])], tmp_path / "a.svg")


def test_another_ending_is_refused(full, tmp_path):
    with pytest.raises(ConfigError, match=r'ends in "\.gif"'):
        figure_for_readme(full, tmp_path / "a.gif")
