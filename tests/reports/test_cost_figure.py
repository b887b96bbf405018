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
    assert figure.header[:5] == ("method", "Acc, %", "stored", "trained", "time")
    assert figure.header[5:] == ("operations at test", "time at test", "kept of old data")
    assert figure.rows == (
        ("sdlora", "80.0", "74.5 k", "37.2 k", "2.0 min", "–", "–", "–"),
        ("lora", "60.0", "37.6 k", "37.2 k", "90 s", "–", "–", "–"),
    )
    assert "plain" not in figure.caption
    assert len(figure.panels) == 2
    stored, time = (panel.wide for panel in figure.panels)
    assert "sdlora 80.0 % at 74.5 k" in stored
    assert "training time of a run, minutes" in time


def test_costs_at_test(small):
    kept = {"samples": 0, "features": 0, "statistics": 14_200_000}
    small.add("ease", 0, hits=[[90], [80, 80]], cost={"flops": 3100, "prediction_seconds": 0.007, "kept_bytes": kept})
    small.add("lora", 0, hits=[[90], [60, 60]], cost={})
    figure = figure_of(small)
    assert [row[5:] for row in figure.rows] == [("3.10 ×", "3.50 ×", "14.2 MB"), ("1.00 ×", "1.00 ×", "0 B")]
    assert "ease 80.0 % at 3.10 ×; lora 60.0 % at 1.00 ×" in figure.panels[2].wide
    assert "beside the same backbone" in figure.caption


def test_what_nobody_measured_is_not_drawn(small):
    for method in ("sdlora", "lora"):
        folder = small.add(method, 0, manifest={"seconds": None})
        (folder / "metrics.jsonl").unlink()
    assert figure_of(small) is None


def test_one_method_has_nothing_to_compare(small):
    small.add("sdlora", 0)
    assert figure_of(small) is None
