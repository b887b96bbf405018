import json

import pytest

from sdlora.errors import RunError
from sdlora.reports import compare, heads_table, load_runs, render_heads
from sdlora.reports.heads_table import FROZEN, HEADS
from sdlora.reports.page import render_page

PUBLISHED, STARTED, DISCRIMINANT, RIDGE = HEADS
START = {"head_init": "discriminant"}
PLAIN = {"head_init": "default"}


def heads_file(folder, **hits):
    content = {"format": 1, "hits": hits, "totals": [100, 100]}
    (folder / "heads.json").write_text(json.dumps(content))


@pytest.fixture
def runs(small):
    for seed in (0, 1):
        small.add("probe", seed, hits=[[90], [50, 60]], **PLAIN)
        small.add("sdlora", seed, hits=[[90], [60, 60 + 2 * seed]], preset="released", **PLAIN)
        small.add("sdlora", seed, hits=[[90], [50, 50]], name="rr", preset="released", rank_schedule="paper", **PLAIN)
        frozen = small.add("probe", seed, hits=[[90], [60, 70]], name="probe_a", **START)
        adapted = small.add("sdlora", seed, hits=[[90], [70, 70]], name="a", preset="released", **START)
        heads_file(frozen, linear=[60, 70], discriminant=[70, 70], ridge=[80, 80])
        heads_file(adapted, linear=[70, 70], discriminant=[1, 1], ridge=[90, 80])
        small.add("sdlora", seed, hits=[[90], [80, 80]], name="b", preset="released", head="discriminant", **START)
        layers = {"head": "discriminant", "layers": "all", **START}
        small.add("sdlora", seed, hits=[[90], [99, 99]], name="d", preset="released", **layers)
    return load_runs([small.root])


def test_cells_come_from_the_runs_that_measured_them(runs):
    (comparison,) = compare(runs)
    table = heads_table(comparison)
    assert list(table.cells) == [FROZEN, "sdlora, released"]
    assert table.cells[FROZEN] == {
        PUBLISHED: {0: 0.55, 1: 0.55},
        STARTED: {0: 0.65, 1: 0.65},
        DISCRIMINANT: {0: 0.70, 1: 0.70},
        RIDGE: {0: 0.80, 1: 0.80},
    }
    assert table.cells["sdlora, released"][PUBLISHED] == {0: 0.60, 1: 0.61}
    assert table.cells["sdlora, released"][DISCRIMINANT] == {0: 0.80, 1: 0.80}  # of the runs that predicted with it
    assert table.cells["sdlora, released"][RIDGE] == {0: pytest.approx(0.85), 1: pytest.approx(0.85)}


def test_differences_are_paired(runs):
    table = heads_table(compare(runs)[0])
    assert table.adapting("sdlora, released", DISCRIMINANT).startswith("+10.0 [")
    assert table.gain(FROZEN, RIDGE).startswith("+25.0 [")
    text = render_heads(table)
    assert "| frozen backbone | 55.0 ± 0.0 | 65.0 ± 0.0 | 70.0 ± 0.0 | 80.0 ± 0.0 |" in text


def test_seeds_of_other_images_are_not_paired(small):
    for seed in (0, 1):
        small.add("probe", seed, hits=[[90], [50, 60]], **PLAIN)
        other = {"stream": other_stream(small, seed)}
        small.add("probe", seed, hits=[[90], [60, 70]], name="probe_a", manifest=other, **START)
    table = heads_table(compare(load_runs([small.root]))[0])
    assert table.gain(FROZEN, STARTED) == "–"
    assert table.mean(FROZEN, STARTED) == "65.0 ± 0.0"


def other_stream(made, seed):
    """Return the stream of a run with another digest, as if its images had been drawn elsewhere."""
    known = json.loads((made.root / "small_2" / "probe" / f"seed{seed}" / "manifest.json").read_text())["stream"]
    return {**known, "digest": "f" * 64}


def test_the_page_shows_it(runs):
    page = render_page(runs)
    assert "Features and heads" in page
    assert "adapting adds, points" in page


def test_no_table_of_one_head(full):
    assert all(heads_table(comparison) is None for comparison in compare(full))


def test_a_file_of_other_tasks_is_damaged(small):
    folder = small.add("probe", 0, hits=[[90], [60, 70]], **START)
    heads_file(folder, linear=[60])
    with pytest.raises(RunError, match=r"heads\.json is damaged"):
        load_runs([small.root])
