from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from sdlora.errors import ConfigError
from sdlora.reports.runs import load_runs
from sdlora.reports.streams_figure import figure_across_streams


@pytest.fixture
def three_streams(made_up):
    for num_tasks in (10, 5, 20):
        made_up.stream, made_up.task_sizes = f"letters_{num_tasks}", (100 // num_tasks,) * num_tasks
        for method, end in (("sdlora", 60), ("lora", 50), ("probe", 55)):
            for seed in range(2):
                made_up.add(method, seed, end)
    made_up.stream, made_up.task_sizes = "letters_10", (10,) * 10
    made_up.add("joint", 0, 90)
    return load_runs([made_up.root])


def test_it_is_the_same_every_time(three_streams, tmp_path):
    first = figure_across_streams(three_streams, tmp_path / "a.svg").read_bytes()
    assert first == figure_across_streams(three_streams, tmp_path / "b.svg").read_bytes()
    assert ElementTree.fromstring(first).tag.endswith("svg")


def test_every_panel_has_its_dots_and_ours_are_in_colour(three_streams, tmp_path):
    with Image.open(figure_across_streams(three_streams, tmp_path / "a.png")) as image:
        assert image.width == 1600
        pixels = np.asarray(image.convert("RGB"))
    ours = (pixels == (0x0B, 0x62, 0xB5)).all(axis=2)
    others = (pixels == (0x14, 0x18, 0x1F)).all(axis=2)
    for third in range(3):
        columns = slice(240 + third * 450, 240 + (third + 1) * 450)
        assert ours[:, columns].sum() > 100
        assert others[:, columns].sum() > 200


def test_a_stream_without_finished_runs_is_left_out_and_none_at_all_is_an_error(made_up, three_streams, tmp_path):
    joint = [run for run in three_streams if run.is_joint]
    with pytest.raises(ConfigError, match="no finished run"):
        figure_across_streams(joint, tmp_path / "a.svg")
    one = [run for run in three_streams if run.manifest.stream.name == "letters_5"]
    assert figure_across_streams([*one, *joint], tmp_path / "a.svg").exists()
