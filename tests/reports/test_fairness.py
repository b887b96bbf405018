import pytest
from made_up_runs import MadeUp

from sdlora.reports.comparison import compare
from sdlora.reports.fairness import short_hash, warnings
from sdlora.reports.runs import load_runs


def found(*made):
    return warnings(compare(load_runs([one.root for one in made])))


def two_methods(made, **second):
    for seed in (0, 1):
        made.add("lora", seed)
        made.add("sdlora", seed, **second)


def test_a_fair_comparison_has_no_warning(full):
    assert warnings(compare(full)) == []


def test_unfinished_runs_are_named_with_the_command_that_goes_on(small):
    two_methods(small)
    path = small.add("lora", 2, hits=[[90]], manifest={"status": "stopped"})
    small.add("lora", 3, hits=[], manifest={"status": "running"})
    assert found(small) == [
        f"lora seed 2 stopped after 1 of 2 tasks, left out. Fix: sdlora train {path}/recipe.toml",
        f"lora seed 3 is not finished after 0 of 2 tasks, left out. Fix: sdlora train {path.parent}/seed3/recipe.toml",
    ]


def test_two_backbones_are_two_tables(small, tmp_path):
    other = MadeUp(tmp_path / "more", stream="small_2", task_sizes=(2, 2), sha256="88c0" + "1" * 60)
    two_methods(small)
    two_methods(other)
    assert found(small, other) == [
        "small_2: 2 backbones (glyph_vit 41bf9c1e, glyph_vit 88c01111): separate tables, not compared with each other."
    ]


def test_other_orders_of_classes_are_not_paired(small):
    small.add("lora", 0)
    small.add("lora", 1)
    small.add("sdlora", 0)
    other = {"name": "small_2", "digest": "other", "classes": list("abcd"), "tasks": [["a", "b"], ["c", "d"]]}
    small.add("sdlora", 1, manifest={"stream": other})
    assert found(small) == ["small_2: data or class orders differ between methods for seed 1; not paired."]


def test_missing_seeds_and_single_seeds(small):
    small.add("lora", 0)
    small.add("lora", 1)
    small.add("sdlora", 0)
    assert found(small) == [
        "small_2: not every method has every seed; differences use the seeds that both have.",
        "small_2: one seed for sdlora: the spread is unknown.",
    ]


def test_a_run_given_twice(small):
    two_methods(small)
    again = small.add("lora", 0, name="zz_again")
    kept = again.parent.parent / "lora" / "seed0"
    assert found(small) == [f"{again} repeats seed 0 of {kept}; only the latter counts."]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"manifest": {"dtype": "bfloat16"}}, "dtype differs: float32 for lora; bfloat16 for sdlora"),
        ({"manifest": {"sdlora": "0.2.0"}}, "sdlora version differs: 0.1.0 for lora; 0.2.0 for sdlora"),
        ({"manifest": {"device": "cuda"}}, "runs on different hardware: times are not compared fairly."),
        ({"recipe": {"stream": {"dataset": "small", "num_tasks": 2, "class_order": "given"}}},
         "stream.class_order differs: seed for lora; given for sdlora"),
        ({"recipe": {"backbone": {"name": "tiny", "mean": [0.0, 0.0, 0.0]}}},
         "backbone.mean differs: None for lora; [0.0, 0.0, 0.0] for sdlora"),
    ],
)  # fmt: skip
def test_what_the_protocol_fixes_must_not_differ(small, changes, words):
    two_methods(small, **changes)
    assert found(small) == [f"small_2: {words}"]


def test_hyper_parameters_may_differ_between_methods(small):
    two_methods(small, rank=4, recipe={"optim": {"name": "adam", "lr": 1.0}})
    assert found(small) == []


def test_classes_seen_in_pretraining(tmp_path):
    made = MadeUp(tmp_path, stream="imagenet_r_2", task_sizes=(2, 2), backbone="vit_base_patch16_224.augreg_in21k")
    two_methods(made)
    assert found(made) == [
        "imagenet_r_2: the backbone has seen these classes in pretraining: "
        "its 200 classes are ImageNet classes, drawn and painted."
    ]


def test_short_hash():
    assert short_hash("41bf9c1e" + "0" * 56) == "41bf9c1e"
    assert short_hash(None) == "unknown"


def test_measurements_that_contradict_the_declaration_are_named(small):
    two_methods(small, cost={"one_pass": False, "rehearsal_free": False})
    small.add("l2p", 0, cost={"one_pass": True, "end_to_end": False})
    small.add("l2p", 1)
    assert sorted(found(small)) == [
        "small_2: l2p declares no for one pass, measured is yes.",
        "small_2: sdlora declares yes for one pass, measured is no.",
        "small_2: sdlora declares yes for rehearsal-free, measured is no.",
    ]


def test_a_method_from_elsewhere_declares_nothing(small):
    for seed in (0, 1):
        small.add("from_elsewhere", seed, cost={"one_pass": False})
    assert found(small) == []


def test_a_last_task_with_one_class_has_a_constant_loss_and_contradicts_nothing(tmp_path):
    made = MadeUp(tmp_path, stream="small_2", task_sizes=(2, 1))
    two_methods(made, cost={"end_to_end": False})
    assert found(made) == []
