import pytest

from sdlora.methods import METHODS
from sdlora.reports.table5 import PAPER, measure_table5, settings


def test_rows_are_all_methods_and_the_variants_with_a_recipe():
    found = settings()
    assert set(METHODS.names()) | {"sdlora_kd", "sdlora_rr"} == set(found)
    assert list(found) == sorted(found)
    assert found["sdlora_rr"][0] == "sdlora"
    assert found["coda_prompt"] == ("coda_prompt", {"num_components": 5})
    assert found["simplecil"] == ("simplecil", {})


def test_one_pass_and_nothing_kept_cost_what_the_paper_says():
    rows = {row.name: row for row in measure_table5(["probe", "sdlora", "sdlora_rr", "joint"])}
    for name in ("sdlora", "sdlora_rr"):
        gflops, _, kept = PAPER[name]
        assert rows[name].footprint.flops == rows["probe"].footprint.flops == rows["joint"].footprint.flops
        assert rows[name].footprint.flops / 1e9 == pytest.approx(gflops, abs=0.01)
        assert rows[name].footprint.kept == kept == 0
        assert rows[name].paper == PAPER[name]
    assert rows["sdlora"].footprint.learnable == 24 * 2 * 768 * 10 + 20
    assert rows["sdlora_rr"].footprint.learnable == 24 * 2 * 768 * 6 + 20
    assert rows["probe"].paper is None


def test_a_prompting_method_costs_about_what_the_paper_says():
    (row,) = measure_table5(["dualprompt"])
    assert row.options == {"e_length": 20}
    assert row.footprint.passes == 2
    assert row.footprint.flops / 1e9 == pytest.approx(PAPER["dualprompt"][0], abs=0.05)


@pytest.mark.parametrize(
    ("name", "column", "numbers"),
    [
        ("l2p", 1, (30 * 20 + 30) * 768),
        ("dualprompt", 1, (3 * 20 + 2 * 6 + 3) * 768),
        ("coda_prompt", 1, 5 * 10 * 10 * 768),
        ("hide_prompt", 1, 5 * 2 * 10 * 768),
        ("hide_prompt", 2, 200 * 768),
        ("inflora", 1, 24 * 2 * 768 * 10),
        ("inflora", 2, 12 * 11 * 768),
        ("sdlora", 1, 24 * 2 * 768 * 10),
        ("sdlora_rr", 1, 24 * 2 * 768 * 6 + 769 * 10),
    ],
)
def test_readings_of_the_papers_figures_give_the_papers_figures(name, column, numbers):
    """docs/methods.md explains with these where ours differ."""
    assert round(numbers / 1e6, 2) == PAPER[name][column]
