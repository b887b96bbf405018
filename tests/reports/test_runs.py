import json
import logging
from pathlib import Path

import pytest

from sdlora.errors import RunError
from sdlora.metrics import AccuracyMatrix
from sdlora.reports.runs import last_day, load_runs


def change(path: Path, **keys) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_a_run_is_what_its_files_say(small):
    folder = small.add("sdlora", 3, hits=[[90], [80, 95]], rank=4)
    (run,) = load_runs([folder])
    assert (run.method, run.seed, run.is_finished, run.is_joint) == ("sdlora", 3, True, False)
    assert run.matrix == AccuracyMatrix(((90,), (80, 95)), ((100,), (100, 100)))
    assert (run.dataset, run.task_sizes) == ("small", (2, 2))
    assert run.settings["method.rank"] == 4
    assert [row.task for row in run.tasks] == [0, 1]
    assert len(run.tasks[1].method["magnitudes"]) == 2
    assert run.recipe.startswith("[run]")


def test_places_and_seeds_are_no_settings(small):
    (run,) = load_runs([small.add("lora", 0, recipe={"stream": {"dataset": "small", "root": "/data"}}, rank=None)])
    assert set(run.settings) == {"stream.dataset", "backbone.name", "method.name"} | {
        f"optim.{key}" for key in ("name", "lr", "epochs", "batch_size")
    }


def test_without_a_recipe_the_method_still_tells_its_options(small):
    folder = small.add("lora", 0, manifest={"recipe": {}}, rank=4)
    (folder / "recipe.toml").unlink()
    (run,) = load_runs([folder])
    assert run.settings == {"method.name": "lora", "method.rank": 4}
    assert run.recipe == ""


def test_folders_above_are_searched_and_nothing_comes_twice(small):
    for seed in (10, 2, 0):
        small.add("lora", seed)
    small.add("joint", 0)
    runs = load_runs([small.root, small.root / "small_2" / "lora", str(small.root / "small_2" / "lora" / "seed0")])
    assert [(run.method, run.seed) for run in runs] == [("joint", 0), ("lora", 0), ("lora", 2), ("lora", 10)]


def test_joint_training_has_one_row(small):
    (run,) = load_runs([small.add("joint", 0, hits=[[80, 90]])])
    assert run.is_joint


def test_old_and_hidden_folders_are_passed_over_unless_named(small):
    kept = small.add("lora", 0)
    old = small.add("lora", 1).rename(kept.parent / "seed1.old")
    small.add("lora", 2).rename(kept.parent / ".seed2")
    assert [run.path for run in load_runs([small.root])] == [kept]
    assert [run.path for run in load_runs([old])] == [old]


def test_a_run_killed_before_its_manifest_is_none(small):
    folder = small.add("lora", 0)
    small.add("lora", 1)
    (folder / "checkpoint" / "000001").mkdir(parents=True)
    (folder / "manifest.json").rename(folder / "checkpoint" / "000001" / "manifest.json")
    assert [run.seed for run in load_runs([small.root])] == [1]


def test_other_files_are_passed_over_with_one_note(small, tmp_path, caplog):
    folder = small.add("lora", 0)
    notes = [tmp_path / name for name in ("a.txt", "b.txt")]
    for note in notes:
        note.write_text("no run")
    with caplog.at_level(logging.WARNING, logger="sdlora"):
        assert len(load_runs([folder, *notes])) == 1
    assert [record.getMessage() for record in caplog.records] == [
        f"passed over 2 files without a run: {notes[0]}, {notes[1]}"
    ]


def test_nothing_found_says_what_was_expected(tmp_path):
    with pytest.raises(RunError, match=f"no run in {tmp_path}\nExpected: folders with manifest.json"):
        load_runs([tmp_path])
    with pytest.raises(RunError, match="nowhere does not exist"):
        load_runs([tmp_path / "nowhere"])
    with pytest.raises(RunError, match="no run in an empty list"):
        load_runs([])


def test_unfinished_runs_are_loaded(small):
    stopped = small.add("lora", 0, hits=[[90]], manifest={"status": "stopped"})
    running = small.add("lora", 1, manifest={"status": "running"})
    (running / "matrix.json").unlink()
    (running / "metrics.jsonl").unlink()
    begun = small.add("lora", 2, manifest={"status": "running"})
    change(begun / "matrix.json", hits=[], totals=[])
    runs = {run.path: run for run in load_runs([small.root])}
    assert not any(run.is_finished for run in runs.values())
    assert runs[stopped].matrix.num_rows == 1
    assert runs[running].matrix is runs[begun].matrix is None


def test_a_torn_last_line_does_not_count(small):
    folder = small.add("lora", 0)
    log = folder / "metrics.jsonl"
    log.write_text(log.read_text() + '{"event": "task", "ta')
    (run,) = load_runs([folder])
    assert len(run.tasks) == 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("manifest.json", "{", "manifest.json is damaged"),
        ("manifest.json", "[]", "manifest.json is damaged"),
        ("manifest.json", '{"format": 2}', "manifest.json is damaged: format"),
        ("matrix.json", "", "matrix.json is damaged"),
        ("matrix.json", '{"format": 1, "hits": [[1.5]], "totals": [[2]]}', r"damaged: hits.0.0: .*integer"),
        ("matrix.json", '{"format": 1, "hits": [[3]], "totals": [[2]]}', "damaged: after task 1, group 1 has 3 hits"),
        ("matrix.json", '{"format": 1, "hits": [[1]], "totals": [[2]]}', "damaged: its last row has 1 groups"),
        ("matrix.json", '{"format": 1, "hits": [], "totals": []}', r"damaged: rows have \[\] groups"),
        ("metrics.jsonl", "{\n{}\n", "metrics.jsonl is damaged"),
        ("metrics.jsonl", "[1]\n", "metrics.jsonl is damaged"),
        ("metrics.jsonl", '{"event": "task"}\n', "metrics.jsonl is damaged: task: Field required"),
    ],
)
def test_damage_names_the_file(small, name, content, words):
    folder = small.add("lora", 0)
    (folder / name).write_text(content)
    with pytest.raises(RunError, match=words) as caught:
        load_runs([small.root])
    assert str(folder / name) in str(caught.value)
    assert f"Fix: leave {folder} out, or train it again" in str(caught.value)


def test_a_finished_run_without_matrix_is_damaged(small):
    folder = small.add("lora", 0)
    (folder / "matrix.json").unlink()
    with pytest.raises(RunError, match=r"matrix\.json is damaged"):
        load_runs([folder])


def test_last_day(small):
    small.add("lora", 0, manifest={"finished": "2026-10-31T23:59:59+00:00"})
    small.add("lora", 1, manifest={"finished": "2026-11-02T00:00:00+00:00"})
    small.add("lora", 2, manifest={"status": "running", "finished": None})
    assert last_day(load_runs([small.root])) == "2026-11-02"
    assert last_day([]) is None


def test_costs_and_confusions_may_be_absent(small):
    (bare,) = load_runs([small.add("lora", 0)])
    assert (bare.cost, bare.confusion) == (None, None)
    counts = [[3, 1, 0, 0], [0, 4, 0, 0], [0, 0, 4, 0], [1, 1, 1, 1]]
    (run,) = load_runs([small.add("lora", 1, cost={"passes": 2.5}, confusion=counts)])
    assert run.cost.passes == 2.5
    assert run.confusion == counts


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cost.json", "{", "cost.json is damaged: Expecting property name"),
        ("cost.json", '{"format": 1}', "measured_on: Field required"),
        ("confusion.json", '{"format": 2, "counts": []}', "format"),
        ("confusion.json", '{"format": 1, "counts": [[1, 2], [3, 4]]}', "it has 2 rows of"),
        ("confusion.json", '{"format": 1, "counts": [[-1]]}', "counts.0.0"),
    ],
)
def test_damaged_costs_and_confusions_are_named(small, name, content, words):
    folder = small.add("lora", 0)
    (folder / name).write_text(content)
    with pytest.raises(RunError) as caught:
        load_runs([folder])
    assert f"{name} is damaged" in caught.value.what
    assert words in caught.value.what
