import pytest

from sdlora.reports.comparison import compare
from sdlora.reports.findings import answer, differences, headline, shape
from sdlora.reports.runs import load_runs


def only(made):
    (comparison,) = compare(load_runs([made.root]))
    return comparison


def add(made, method, *lasts):
    """Add a run for each accuracy after the last task, in percent."""
    for seed, last in enumerate(lasts):
        made.add(method, seed, hits=[[90], [last, last]])


def test_a_clear_lead(small):
    add(small, "sdlora", 80, 81, 82)
    add(small, "lora", 60, 62, 61)
    found = answer(only(small))
    assert found.sentence == "sdlora ends at 81.0 %, 20.0 points above lora."
    assert found.detail == "95 % interval +17.5 to +22.5 points, 3 paired seeds."


def test_a_lead_over_several_with_the_upper_bound(small):
    add(small, "sdlora", 80, 81, 82)
    add(small, "lora", 60, 62, 61)
    add(small, "finetune", 20, 20, 20)
    for seed in range(3):
        small.add("joint", seed, hits=[[90, 92]])
    found = answer(only(small))
    assert found.sentence == "sdlora ends at 81.0 %, 20.0 points above lora, the next best."
    assert found.detail.endswith("3 paired seeds; training on all tasks at once ends 10.0 points higher.")


def test_noise_is_called_noise(small):
    add(small, "sdlora", 80, 70, 85)
    add(small, "lora", 75, 79, 72)
    assert answer(only(small)).sentence == "No clear difference between sdlora and lora: +3.0 points."


def test_one_seed_has_no_spread(small):
    add(small, "lora", 80)
    add(small, "sdlora", 70)
    found = answer(only(small))
    assert found.sentence == "lora ends at 80.0 %, 10.0 points above sdlora."
    assert found.detail == "1 paired seed: the spread is unknown."


def test_equal_is_equal(small):
    add(small, "lora", 80)
    add(small, "sdlora", 80)
    assert answer(only(small)).sentence == "lora and sdlora end equal."


def test_the_leader_by_mean_may_be_behind_on_shared_seeds(small):
    add(small, "lora", 70, 99)
    add(small, "sdlora", 80)
    assert answer(only(small)).sentence == "lora ends at 84.5 %, 10.0 points below sdlora."


def test_no_shared_seed_is_no_comparison(small):
    small.add("lora", 0, hits=[[90], [80, 80]])
    small.add("sdlora", 1, hits=[[90], [70, 70]])
    assert answer(only(small)).sentence == (
        "lora has the highest mean, but shares no seed and class order with sdlora."
    )


def test_one_method_alone(small):
    add(small, "lora", 80, 82)
    found = answer(only(small))
    assert (found.sentence, found.detail) == ("lora ends at 81.0 ± 1.4 %.", "2 seeds.")


def test_joint_alone_and_nothing_at_all(small):
    small.add("joint", 0, hits=[[90, 92]])
    found = answer(only(small))
    assert found.sentence == "joint, trained on all tasks at once, ends at 91.0 %."
    assert found.detail == "1 seed: the spread is unknown"


def test_nothing_finished(small):
    small.add("lora", 0, hits=[[90]], manifest={"status": "running"})
    assert answer(only(small)).sentence == "No run has finished yet."
    assert headline(only(small)) == "0 runs: 0 methods × 0 seeds, stream small_2 2 tasks × 2 classes, comparable"
    assert differences(only(small)) == []


def test_headline_and_lines_of_the_terminal(full):
    (comparison,) = compare(full)
    assert headline(comparison) == "20 runs: 4 methods × 5 seeds, stream glyphs_10 10 tasks × 10 classes, comparable"
    first, second = differences(comparison)
    assert first.startswith("sdlora - lora in Acc: +")
    assert first.endswith("5 paired seeds")
    assert second.startswith("sdlora - finetune in Acc: +")


def test_headline_of_unequal_seeds(small):
    add(small, "lora", 80, 82)
    add(small, "sdlora", 70)
    assert "2 methods × 1 to 2 seeds" in headline(only(small))
    assert headline(only(small)).endswith("not all comparable")


@pytest.mark.parametrize(
    ("sizes", "text"),
    [((10,) * 5, "5 tasks × 10 classes"), ((50, 10), "2 tasks × 10 to 50 classes"), ((1,), "1 task × 1 class")],
)
def test_shape(sizes, text):
    assert shape(sizes) == text
