import pytest

from sdlora.reports.comparison import compare
from sdlora.reports.figures import accuracy_figure, accuracy_series, forgetting_figure
from sdlora.reports.page import page_looks
from sdlora.reports.runs import load_runs


def made(made_up):
    comparisons = compare(load_runs([made_up.root]))
    return comparisons[0], page_looks(comparisons)


def three_tasks(made_up):
    made_up.stream, made_up.task_sizes = "three_3", (2, 2, 2)
    return made_up


def test_curves_are_means_over_seeds(small):
    small.add("lora", 0, hits=[[90], [80, 60]])
    small.add("lora", 1, hits=[[80], [80, 80]])
    (one,) = accuracy_series(*made(small))
    assert one.values == pytest.approx([85.0, 75.0])
    assert one.spreads == pytest.approx([50**0.5, 50**0.5])


@pytest.mark.parametrize(
    ("rival", "title"),
    [
        ([[80], [60, 60], [50, 50, 50]], "sdlora is ahead after every task."),
        ([[95], [60, 60], [50, 50, 50]], "sdlora is ahead from task 2 on."),
        ([[90], [60, 60], [50, 50, 50]], "sdlora is ahead from task 2 on."),
        ([[80], [85, 85], [50, 50, 50]], "sdlora ends ahead."),
    ],
)
def test_title_says_since_when_the_leader_leads(made_up, rival, title):
    three_tasks(made_up).add("sdlora", 0, hits=[[90], [80, 80], [70, 70, 70]])
    made_up.add("lora", 0, hits=rival)
    assert accuracy_figure(*made(made_up)).title == title


def test_title_names_no_leader_whose_lead_may_be_chance(made_up):
    three_tasks(made_up)
    for seed, ours, theirs in ((0, 90, 60), (1, 60, 80)):
        made_up.add("sdlora", seed, hits=[[90], [80, 80], [ours] * 3])
        made_up.add("lora", seed, hits=[[80], [70, 70], [theirs] * 3])
    assert accuracy_figure(*made(made_up)).title == "No method ends clearly ahead."


def test_data_stand_beside_the_picture(small):
    small.add("lora", 0, hits=[[90], [80, 60]])
    small.add("joint", 0, hits=[[90, 92]])
    figure = accuracy_figure(*made(small))
    assert figure.title == "Accuracy after each task."
    assert figure.header == ("method", "after task 1", "after task 2")
    assert figure.rows == (("lora", "90.0", "70.0"), ("joint", "91.0"))
    assert "dashed level" in figure.caption
    assert 'aria-label="Accuracy after each task. lora from 90.0 to 70.0; joint 91.0."' in figure.panels[0].wide


def test_forgetting_by_hand(made_up):
    three_tasks(made_up).add("sdlora", 0, hits=[[90], [80, 80], [70, 75, 70]])
    made_up.add("lora", 0, hits=[[90], [95, 80], [15, 20, 70]])
    figure = forgetting_figure(*made(made_up))
    assert figure.title == "lora forgets most, 70.0 points on average; sdlora least, 12.5."
    assert figure.rows == (("sdlora", "20.0", "5.0"), ("lora", "80.0", "60.0"))


def test_one_task_has_no_course(small):
    small.stream, small.task_sizes = "one_1", (4,)
    small.add("lora", 0, hits=[[90]])
    assert accuracy_figure(*made(small)) is None
    assert forgetting_figure(*made(small)) is None


def test_joint_alone_forgets_nothing(small):
    small.add("joint", 0, hits=[[90, 92]])
    assert forgetting_figure(*made(small)) is None
    assert accuracy_figure(*made(small)) is not None
