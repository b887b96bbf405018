from sdlora.reports.comparison import compare
from sdlora.reports.matrix_figure import matrix_figure
from sdlora.reports.page import page_looks
from sdlora.reports.runs import load_runs


def figure_of(made):
    comparisons = compare(load_runs([made.root]))
    return matrix_figure(comparisons[0], page_looks(comparisons))


def test_means_over_seeds_on_one_scale(small):
    small.add("sdlora", 0, hits=[[96], [80, 92]])
    small.add("sdlora", 1, hits=[[94], [70, 94]])
    small.add("lora", 0, hits=[[97], [31, 90]])
    small.add("lora", 1, hits=[[97], [31, 90]])
    figure = figure_of(small)
    assert [panel.title for panel in figure.panels] == ["sdlora", "lora"]
    assert figure.header == ("method", "after task", "task 1", "task 2")
    assert figure.rows[:2] == (("sdlora", "1", "95.0"), ("sdlora", "2", "75.0", "93.0"))
    assert "30 %" in figure.bar
    assert "100 %" in figure.bar
    assert "from 75 to 95 %" in figure.panels[0].wide


def test_joint_training_and_single_tasks_have_no_matrix(small):
    small.add("joint", 0, hits=[[90, 92]])
    assert figure_of(small) is None


def test_perfect_accuracy_keeps_a_scale(small):
    small.add("lora", 0, hits=[[100], [100, 100]])
    assert "100 %" in figure_of(small).bar
