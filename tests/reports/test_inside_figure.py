import json

from sdlora.reports.comparison import compare
from sdlora.reports.inside_figure import inside_figure
from sdlora.reports.page import page_looks
from sdlora.reports.runs import load_runs


def figure_of(made):
    comparisons = compare(load_runs([made.root]))
    return inside_figure(comparisons[0], page_looks(comparisons))


def log(folder, *reports):
    rows = [{"event": "task", "task": task, "method": report} for task, report in enumerate(reports)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_magnitudes_residuals_and_ranks(small):
    first = {"magnitudes": [1.2], "residuals": [1.0, 1.0], "ranks": [10.0]}
    log(small.add("sdlora", 0), first, {"magnitudes": [1.0, 0.5], "residuals": [0.8, 0.6], "ranks": [10.0, 8.0]})
    log(small.add("sdlora", 1), first, {"magnitudes": [1.2, 0.7], "residuals": [0.9, 0.7], "ranks": [10.0, 8.0]})
    figure = figure_of(small)
    assert figure.title == "In sdlora the first direction keeps the largest magnitude."
    assert figure.rows == (("sdlora", "1", "1.200"), ("sdlora", "2", "1.100", "0.600"))
    assert "Ranks of sdlora: 10, 8." in figure.caption
    assert [panel.title for panel in figure.panels] == [
        "Magnitudes, sdlora",
        "What old directions do not explain of a new one",
    ]
    assert "sdlora 0.75" in figure.panels[1].wide


def test_title_does_not_claim_what_is_not_so(small):
    log(small.add("sdlora", 0), {"magnitudes": [0.8]}, {"magnitudes": [0.7, 0.9]})
    figure = figure_of(small)
    assert figure.title == "Magnitude of each direction, after every task."
    assert len(figure.panels) == 1
    assert "Ranks" not in figure.caption


def test_methods_without_magnitudes_have_no_figure(small):
    log(small.add("lora", 0), {}, {"protected": [3.0]})
    assert figure_of(small) is None


def test_missing_numbers_leave_a_method_out(small):
    log(small.add("sdlora", 0), {"magnitudes": [0.8]}, {"magnitudes": [None, None]})
    assert figure_of(small) is None
    (small.add("sdlora", 1) / "metrics.jsonl").unlink()
    assert figure_of(small) is None
