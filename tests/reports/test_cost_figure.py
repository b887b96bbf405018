from sdlora.reports.comparison import compare
from sdlora.reports.cost_figure import cost_figure
from sdlora.reports.page import page_looks
from sdlora.reports.runs import load_runs


def figure_of(made):
    comparisons = compare(load_runs([made.root]))
    return cost_figure(comparisons[0], page_looks(comparisons))


def test_parameters_and_minutes(small):
    small.add("sdlora", 0, hits=[[90], [80, 80]], manifest={"seconds": 120.0})
    small.add("lora", 0, hits=[[90], [60, 60]], manifest={"seconds": 90.0})
    figure = figure_of(small)
    assert figure.header == ("method", "Acc, %", "stored", "trained", "time")
    assert figure.rows == (
        ("sdlora", "80.0", "74.5 k", "37.2 k", "2.0 min"),
        ("lora", "60.0", "37.6 k", "37.2 k", "90 s"),
    )
    stored, time = (panel.wide for panel in figure.panels)
    assert "sdlora 80.0 % at 74.5 k" in stored
    assert "training time of a run, minutes" in time


def test_what_nobody_measured_is_not_drawn(small):
    for method in ("sdlora", "lora"):
        folder = small.add(method, 0, manifest={"seconds": None})
        (folder / "metrics.jsonl").unlink()
    assert figure_of(small) is None


def test_one_method_has_nothing_to_compare(small):
    small.add("sdlora", 0)
    assert figure_of(small) is None
