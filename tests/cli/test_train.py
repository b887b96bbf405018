import json
import signal

import pytest
from pictures import write_classes

from sdlora.cli.progress import TrainingProgress
from sdlora.config.load import load_recipe


def test_a_run_from_start_to_end(sdlora, workplace):
    answer = sdlora("train", "tiny.toml")
    assert answer.code == 0
    first, second = answer.out.splitlines()
    assert first.startswith("Acc ")
    assert "(%, 1 seed) in " in first
    assert second == "Runs: runs/tiny/ seed0, with their models in model/"
    lines = answer.err.splitlines()
    assert lines[0].startswith("tiny: 2 tasks × 2 classes, seed 0, untrained_vit (sha256 ")
    assert lines[0].endswith("), cpu float32.")
    assert lines[-1] == "Next: sdlora report runs/tiny"
    assert sum("epoch" in line for line in lines) == 4
    assert sum("learned" in line for line in lines) == 2
    assert sorted(path.name for path in (workplace / "runs/tiny/seed0").iterdir() if path.name[0] != ".") == [
        "checkpoint", "confusion.json", "cost.json", "manifest.json", "matrix.json", "metrics.jsonl", "model",
        "recipe.toml"
    ]  # fmt: skip


def test_the_same_command_twice_changes_nothing(sdlora, workplace):
    first = sdlora("train", "tiny.toml", "--json")
    before = {path: path.read_bytes() for path in (workplace / "runs").rglob("*.json*")}
    second = sdlora("train", "tiny.toml", "--json")
    assert second.json == first.json
    assert "was finished before" in second.err
    assert {path: path.read_bytes() for path in (workplace / "runs").rglob("*.json*")} == before


def test_the_model_of_a_run_is_a_model_like_any_other(sdlora, workplace):
    model = sdlora("train", "tiny.toml", "--json").json["runs"][0]["model"]
    assert model == "runs/tiny/seed0/model"
    lessons = sdlora("inspect", model, "--json").json["config"]["tasks"]
    assert [len(lesson["classes"]) for lesson in lessons] == [2, 2]


def test_json_of_two_seeds(sdlora, workplace):
    answer = sdlora("train", "tiny.toml", "run.seeds=[0,3]", "--json", "--quiet")
    assert answer.err == ""
    assert [(row["path"], row["seed"], row["status"]) for row in answer.json["runs"]] == [
        ("runs/tiny/seed0", 0, "finished"),
        ("runs/tiny/seed3", 3, "finished"),
    ]
    accs = [row["acc"] for row in answer.json["runs"]]
    assert answer.json["acc_mean"] == pytest.approx(sum(accs) / 2)
    assert answer.json["acc_std"] == pytest.approx(abs(accs[0] - accs[1]) / 2**0.5)
    assert set(answer.json) == {"runs"} | {f"{n}_{s}" for n in ("acc", "aaa", "forgetting") for s in ("mean", "std")}


def test_another_recipe_in_the_same_folder_is_refused_with_all_differences(sdlora, workplace):
    sdlora("train", "tiny.toml")
    answer = sdlora("train", "tiny.toml", "optim.lr=0.1", "method.rank=3")
    assert answer.code == 3
    assert answer.out == ""
    for text in ("runs/tiny/seed0 was made with", "optim.lr = 0.05; now 0.1", "method.rank = 2; now 3", "--fresh"):
        assert text in answer.err


def test_fresh_keeps_the_old_run_beside(sdlora, workplace):
    sdlora("train", "tiny.toml")
    old = (workplace / "runs/tiny/seed0/matrix.json").read_bytes()
    answer = sdlora("train", "tiny.toml", "--fresh", "optim.lr=0.1")
    assert answer.code == 0
    assert (workplace / "runs/tiny/seed0.old/matrix.json").read_bytes() == old
    assert "lr = 0.1" in (workplace / "runs/tiny/seed0/recipe.toml").read_text()


def test_ctrl_c_stops_and_the_same_command_goes_on(sdlora, workplace, monkeypatch):
    straight = sdlora("train", "tiny.toml", "run.output_dir=runs/straight", "--json").json["runs"][0]
    told = []

    def interrupt(self, report):
        original(self, report)
        told.append(report)
        if len(told) == 3:
            signal.raise_signal(signal.SIGINT)

    original = TrainingProgress.on_step
    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_step", interrupt)
        answer = sdlora("train", "tiny.toml")
    assert (answer.code, answer.out) == (130, "")
    assert answer.err.endswith("Stopped at task 1, epoch 2. The same command continues.\n")
    again = sdlora("train", "tiny.toml", "--json")
    assert "sdlora found at task 1, epoch 2: continues there" in again.err
    differing = {"path": "", "seconds": 0, "model": ""}
    assert {**again.json["runs"][0], **differing} == {**straight, **differing}
    matrices = [(workplace / "runs" / name / "seed0/matrix.json").read_bytes() for name in ("straight", "tiny")]
    assert matrices[0] == matrices[1]


def test_the_recipe_of_a_stopped_run_continues_it(sdlora, workplace):
    sdlora("train", "tiny.toml", "run.seeds=[4,5]")
    answer = sdlora("train", "runs/tiny/seed5/recipe.toml", "--json")
    assert answer.code == 0
    assert [row["path"] for row in answer.json["runs"]] == ["runs/tiny/seed5"]
    assert "was finished before" in answer.err


def test_print_gives_a_recipe_that_is_the_same(sdlora, workplace):
    answer = sdlora("train", "tiny.toml", "optim.lr=1", "--print")
    (workplace / "mine.toml").write_text(answer.out)
    assert answer.code == 0
    assert load_recipe("mine.toml") == load_recipe("tiny.toml", ["optim.lr=1"])
    document = sdlora("train", "tiny.toml", "--print", "--json").json
    assert document["method"]["targets"] == ["qkv:q", "qkv:v"]
    assert not (workplace / "runs").exists()


def test_dry_run_tells_time_and_memory_and_leaves_nothing(sdlora, workplace):
    answer = sdlora("train", "tiny.toml", "--dry-run")
    assert answer.code == 0
    assert answer.out.startswith("About ")
    assert "GiB of memory. Nothing was written." in answer.out
    assert sdlora("train", "tiny.toml", "--dry-run", "--json").json["seconds"] > 0
    assert sorted(path.name for path in workplace.iterdir()) == ["tiny.toml"]


def test_device_is_an_override(sdlora, workplace):
    answer = sdlora("train", "tiny.toml", "--device", "cuda:77")
    assert answer.code == 2
    assert "there is no device cuda:77 here" in answer.err
    assert (
        json.loads(sdlora("train", "tiny.toml", "--device", "mps", "--print", "--json").out)["run"]["device"] == "mps"
    )


def test_all_mistakes_at_once(sdlora, workplace):
    (workplace / "tiny.toml").write_text((workplace / "tiny.toml").read_text().replace("rank = 2", 'rank = "ten"'))
    answer = sdlora("train", "tiny.toml", "optim.lrr=3")
    assert answer.code == 2
    assert answer.err.splitlines() == [
        "Error: tiny.toml has 2 problems.",
        "  override  optim.lrr: unknown key. Did you mean optim.lr?",
        '  line 22  method.rank = "ten". Expected: integer',
    ]


def test_a_dataset_that_is_not_there(sdlora, workplace):
    answer = sdlora("train", "tiny.toml", "stream.dataset=cub200", "--dry-run")
    assert answer.code == 2
    assert "cub200 is not at data/cub200" in answer.err
    assert "stream.root=FOLDER" in answer.err


def test_a_file_that_was_skipped_is_named_and_recorded(sdlora, workplace):
    root = write_classes(workplace / "flowers", {"moss": 20, "rose": 20})
    (root / "rose" / "003.png").write_bytes(b"no picture")
    words = ("train", "tiny.toml", "stream.dataset=folder", "stream.root=flowers", "optim.epochs=1")
    refused = sdlora(*words)
    assert refused.code == 2
    assert "rose/003.png" in refused.err
    answer = sdlora(*words, "data.unreadable=skip")
    assert answer.code == 0
    skipped = "skipped 1 unreadable file (rose/003.png)"
    assert f"Warning: {skipped}" in answer.err.splitlines()
    manifest = json.loads((workplace / "runs/tiny/seed0/manifest.json").read_text())
    assert skipped in manifest["stream"]["notes"]


def test_a_folder_for_a_dataset_that_reads_none(sdlora, workplace):
    answer = sdlora("train", "tiny.toml", "stream.root=flowers")
    assert answer.code == 2
    assert answer.err.splitlines() == [
        "Error: stream.root would change nothing: synthetic reads no folder",
        "Fix: leave it out",
    ]
