import pytest
from made_up_runs import MadeUp

from sdlora.metrics import aaa, acc
from sdlora.reports.comparison import compare
from sdlora.reports.runs import load_runs


def comparisons(made):
    return compare(load_runs([made.root]))


def test_best_accuracy_first_and_joint_apart(full):
    (comparison,) = compare(full)
    assert [entry.label for entry in comparison.ranked] == ["sdlora", "lora", "finetune"]
    assert [entry.label for entry in comparison.joint] == ["joint"]
    assert len(comparison.runs) == 20
    assert comparison.task_sizes == (10,) * 10


def test_seeds_are_in_order_of_numbers(small):
    for seed in (10, 9, 2):
        small.add("lora", seed)
    (comparison,) = comparisons(small)
    assert [run.seed for run in comparison.ranked[0].runs] == [2, 9, 10]


def test_other_streams_tasks_and_weights_are_other_comparisons(tmp_path):
    MadeUp(tmp_path / "runs", stream="a_2", task_sizes=(2, 2)).add("lora", 0)
    MadeUp(tmp_path / "runs", stream="b_2", task_sizes=(2, 2)).add("lora", 0)
    MadeUp(tmp_path / "more", stream="b_2", task_sizes=(3, 1)).add("lora", 0)
    MadeUp(tmp_path / "most", stream="b_2", task_sizes=(2, 2), sha256="f" * 64).add("lora", 0)
    assert len(compare(load_runs([tmp_path]))) == 4


def test_settings_that_differ_make_entries_and_names(small):
    for seed in (0, 1):
        small.add("sdlora", seed, 80)
        small.add("sdlora", seed, 75, name="rr", rank_schedule="paper")
        small.add("sdlora", seed, 70, name="kd", distill_threshold=9e-4, rank_schedule="paper")
    (comparison,) = comparisons(small)
    assert {entry.label for entry in comparison.ranked} == {
        "sdlora",
        "sdlora (rank_schedule=paper)",
        "sdlora (distill_threshold=0.0009, rank_schedule=paper)",
    }
    assert all(len(entry.runs) == 2 for entry in comparison.ranked)


def test_a_learning_rate_is_a_setting_too(small):
    small.add("lora", 0, 80)
    small.add("lora", 0, 70, name="hot", recipe={"optim": {"name": "sgd", "lr": 0.1, "epochs": 5, "batch_size": 64}})
    (comparison,) = comparisons(small)
    assert {entry.label for entry in comparison.ranked} == {"lora (optim.lr=0.01)", "lora (optim.lr=0.1)"}


def test_names_say_no_more_than_they_must(small):
    changed = {"optim": {"name": "adam", "lr": 0.1, "epochs": 9}}
    small.add("sdlora", 0, 80, preset="paper", rank=10)
    small.add("sdlora", 0, 70, name="released", preset="released", rank=4, recipe=changed)
    small.add("sdlora", 0, 60, name="continuous", preset="continuous", rank=4)
    (comparison,) = comparisons(small)
    assert [entry.label for entry in comparison.ranked] == [
        "sdlora (preset=paper)",
        "sdlora (preset=released)",
        "sdlora (preset=continuous)",
    ]


def test_the_same_run_twice_counts_once(small):
    small.add("lora", 0, hits=[[90], [80, 80]])
    small.add("lora", 0, name="again", hits=[[90], [10, 10]])
    (comparison,) = comparisons(small)
    (entry,) = comparison.ranked
    assert len(entry.runs) == len(entry.repeats) == 1
    assert entry.runs[0].path.parent.name == "again"  # first by folder


def test_unfinished_runs_are_in_no_mean(small):
    small.add("lora", 0, hits=[[90], [80, 80]])
    small.add("lora", 1, hits=[[50]], manifest={"status": "stopped"})
    small.add("sdlora", 0, hits=[[50]], manifest={"status": "running"})
    (comparison,) = comparisons(small)
    assert [entry.label for entry in comparison.entries] == ["lora"]
    assert comparison.ranked[0].by_seed(acc) == {0: 0.8}
    assert len(comparison.unfinished) == 2


def test_metrics_over_seeds_by_hand(small):
    small.add("lora", 0, hits=[[90], [80, 60]])
    small.add("lora", 1, hits=[[90], [80, 80]])
    (entry,) = comparisons(small)[0].ranked
    assert entry.by_seed(acc) == {0: 0.7, 1: 0.8}
    assert entry.mean_std(acc) == (pytest.approx(0.75), pytest.approx(0.1 / 2**0.5))
    assert entry.mean(acc) == pytest.approx(0.75)
    assert entry.last_logged("trained_parameters") == 36_864 + 193 * 2
    assert entry.last_logged("stored_parameters") == 36_864 + 193 * 4
    assert len(entry.seconds) == 2


def test_what_was_not_measured_is_none(small):
    folder = small.add("joint", 0, hits=[[80, 80]], manifest={"seconds": None})
    (folder / "metrics.jsonl").unlink()
    (entry,) = comparisons(small)[0].joint
    assert entry.mean_std(aaa) == (None, None)
    assert entry.last_logged("stored_parameters") is None
    assert entry.seconds == []


def test_differences_pair_seeds_with_the_same_data_and_order(small):
    for seed in range(3):
        small.add("lora", seed, hits=[[90], [80, 60 + seed]])
    small.add("sdlora", 0, hits=[[90], [80, 80]])
    small.add("sdlora", 1, hits=[[90], [80, 80]])
    other = {"name": "small_2", "digest": "other", "classes": list("abcd"), "tasks": [["a", "b"], ["c", "d"]]}
    small.add("sdlora", 2, hits=[[90], [80, 80]], manifest={"stream": other})
    (comparison,) = comparisons(small)
    gap = comparison.difference(*comparison.ranked)
    assert gap.num_pairs == 2
    assert gap.mean == pytest.approx((0.10 + 0.095) / 2)


def test_facts_of_methods_that_are_not_installed_are_unknown(small):
    small.add("lora", 0)
    small.add("from_elsewhere", 0, 50)
    known, unknown = comparisons(small)[0].ranked
    assert known.facts.rehearsal_free
    assert unknown.facts is None
    assert not unknown.is_joint


def test_costs_are_those_of_a_run_that_measured_itself(small):
    small.add("lora", 0, cost={"measured_on": "made-up pictures", "passes": 3.0, "prediction_seconds": 0.002})
    small.add("lora", 1, cost={"passes": 1.0, "prediction_seconds": 0.004})
    small.add("lora", 2, cost={"passes": 1.0, "prediction_seconds": 0.012})
    small.add("sdlora", 0)
    measured, other = sorted(comparisons(small)[0].ranked, key=lambda entry: entry.label)
    assert (measured.cost.measured_on, measured.cost.passes) == ("run", 1.0)
    assert measured.time_ratio == pytest.approx(2.0)
    assert (other.cost, other.time_ratio) == (None, None)
