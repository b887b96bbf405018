import json

import pytest
from made_up_runs import MadeUp

from sdlora.reports.runs import load_runs
from sdlora.reports.summary import summarise

FIRST = ["stream", "recipe", "method", "seeds"]
NEXT = ["acc_mean", "acc_std", "aaa_mean", "aaa_std", "forgetting_mean", "forgetting_std"]


def test_a_row_by_hand(small):
    small.add("lora", 0, hits=[[90], [80, 60]])
    small.add("lora", 1, hits=[[90], [60, 80]])
    (row,) = summarise(load_runs([small.root]))
    assert list(row)[:10] == FIRST + NEXT
    assert (row["stream"], row["recipe"], row["method"], row["seeds"]) == ("small_2", "lora", "lora", 2)
    assert (row["acc_mean"], row["acc_std"]) == (pytest.approx(0.7), pytest.approx(0.0))
    assert (row["aaa_mean"], row["aaa_std"]) == (pytest.approx(0.8), pytest.approx(0.0))
    assert (row["forgetting_mean"], row["forgetting_std"]) == (pytest.approx(0.2), pytest.approx(0.02**0.5))
    assert row["bwt_mean"] == pytest.approx(-0.2)
    assert row["weighted_acc_mean"] == pytest.approx(0.7)
    assert row["seed_values"] == [0, 1]
    assert row["task_sizes"] == [2, 2]
    assert row["stream_digests"] == [f"{seed:064x}" for seed in (0, 1)]
    assert row["backbone_sha256"].startswith("41bf9c1e")


def test_one_seed_has_no_deviation_and_joint_no_course(small):
    small.add("joint", 0, hits=[[80, 90]])
    (row,) = summarise(load_runs([small.root]))
    assert row["acc_mean"] == pytest.approx(0.85)
    assert row["is_joint"]
    assert all(row[key] is None for key in ("acc_std", "aaa_mean", "aaa_std", "forgetting_mean", "bwt_mean"))


def test_keys_never_disappear_and_all_of_it_is_json(full, small):
    small.add("from_elsewhere", 0, hits=[[90], [80, 80]])
    rows = summarise([*full, *load_runs([small.root])])
    assert len({tuple(row) for row in rows}) == 1
    assert json.loads(json.dumps(rows)) == rows
    assert [row["method"] for row in rows] == ["sdlora", "lora", "finetune", "joint", "from_elsewhere"]


def test_unfinished_runs_are_listed(small):
    small.add("lora", 0)
    path = small.add("lora", 1, hits=[[90]], manifest={"status": "stopped"})
    (row,) = summarise(load_runs([small.root]))
    assert (row["seeds"], row["unfinished"]) == (1, [str(path)])


def test_properties_are_measured_and_not_declared(small):
    kept = {"samples": 0, "features": 8, "statistics": 32}
    small.add("sdlora", 0, cost={"rehearsal_free": False, "kept_bytes": kept, "passes": 2.0, "flops": 2500})
    (row,) = summarise(load_runs([small.root]))
    assert (row["rehearsal_free"], row["one_pass"], row["end_to_end"]) == (False, True, True)
    assert (row["kept_bytes"], row["passes"], row["flops"]) == (40, 2.0, 2500)
    assert (row["flops_ratio"], row["time_ratio"]) == (2.5, 1.0)


def test_what_nobody_measured_is_null(small):
    small.add("sdlora", 0)
    (row,) = summarise(load_runs([small.root]))
    keys = ("rehearsal_free", "one_pass", "end_to_end", "kept_bytes", "passes", "flops", "flops_ratio", "time_ratio")
    assert [row[key] for key in (*keys, "hardest_classes", "confused_pairs")] == [None] * 10


def test_classes_are_part_of_the_document(small):
    small.add("lora", 0, confusion=[[3, 1, 0, 0], [0, 4, 0, 0], [0, 0, 4, 0], [0, 0, 0, 4]])
    (row,) = summarise(load_runs([small.root]))
    (pair,) = row["confused_pairs"]
    assert (pair["share"], pair["images"]) == (0.25, 1)
    assert row["hardest_classes"][0] == {"name": pair["true"], "accuracy": 0.75, "images": 4}
    assert json.loads(json.dumps(row)) == row


@pytest.mark.parametrize(
    ("method", "last", "seen", "told"),
    [
        ("sdlora", 1, False, None),
        ("sdlora", 1, True, True),
        ("sdlora", 2, False, False),
        ("joint", 1, False, False),
    ],
)
def test_nothing_is_measured_end_to_end_where_the_loss_is_constant(tmp_path, method, last, seen, told):
    made = MadeUp(tmp_path, stream="small_2", task_sizes=(2, last))
    made.add(method, 0, hits=[[80, 90]] if method == "joint" else [[90], [80, 60]], cost={"end_to_end": seen})
    (row,) = summarise(load_runs([tmp_path]))
    assert row["end_to_end"] is told
