import pytest

from sdlora.cli.demo import table, verdict
from sdlora.config import find
from sdlora.metrics import AccuracyMatrix


def matrix(*rows):
    """Build a matrix of two tasks from hits out of ten."""
    return AccuracyMatrix.from_rows(list(rows), [[10, None], [10, 10]])


FORGETS, REMEMBERS = matrix([9, None], [1, 9]), matrix([9, None], [8, 8])


def test_the_table():
    assert table({"sdlora": REMEMBERS, "lora": FORGETS}) == [
        "accuracy on all classes seen so far, %",
        "recipe  task 1     2   Acc   AAA  forgetting",
        "sdlora    90.0  80.0  80.0  85.0        10.0",
        "lora      90.0  50.0  50.0  70.0        80.0",
    ]


@pytest.mark.parametrize(
    ("first", "sdlora", "lora", "words"),
    [
        (REMEMBERS, FORGETS, FORGETS, "30.0 points above SD-LoRA as published and 30.0 points above sequential LoRA"),
        (FORGETS, REMEMBERS, FORGETS, "30.0 points below SD-LoRA as published and equal to sequential LoRA"),
    ],
)
def test_the_verdict_is_computed(first, sdlora, lora, words):
    said = verdict({"sdlora_layers": first, "sdlora": sdlora, "lora": lora})
    assert said == f"SD-LoRA under a discriminant ends {words} (1 seed: the spread is unknown)."


@pytest.fixture
def small(workplace, monkeypatch):
    """Let the demo run recipes that train in a second."""
    text = (workplace / "tiny.toml").read_text()
    (workplace / "recipes/demo").mkdir(parents=True)
    for method in ("sdlora", "lora"):
        (workplace / f"recipes/demo/{method}.toml").write_text(text.replace('name = "sdlora"', f'name = "{method}"'))
    solved = text.replace("rank = 2", 'rank = 2\nhead = "discriminant"\nlayers = "all"')
    (workplace / "recipes/demo/sdlora_layers.toml").write_text(solved)
    monkeypatch.setattr(find, "recipes_folder", lambda: workplace / "recipes")
    return workplace


def test_all_runs_then_the_table_the_verdict_and_the_report(sdlora, small):
    answer = sdlora("demo")
    assert answer.code == 0
    lines = answer.out.splitlines()
    assert lines[0] == "accuracy on all classes seen so far, %"
    assert [line.split()[0] for line in lines[1:5]] == ["recipe", "sdlora_layers", "sdlora", "lora"]
    assert lines[5].startswith("SD-LoRA under a discriminant ends ")
    assert lines[6:] == ["Report: runs/demo/report.html"]
    assert (small / "runs/demo/report.html").exists()
    assert sum("learned  accuracy" in line for line in answer.err.splitlines()) == 6


def test_a_second_call_finds_the_finished_runs(sdlora, small):
    first, second = sdlora("demo", "--out", "3"), sdlora("demo", "--out", "3")
    assert second.out == first.out
    assert second.err.count("was finished before") == 3


def test_json_is_the_rows_of_the_report(sdlora, small):
    answer = sdlora("demo", "--json", "--quiet")
    assert answer.err == ""
    assert {row["recipe"] for row in answer.json} == {"sdlora_layers", "sdlora", "lora"}
    assert answer.json == sdlora("report", "runs/demo", "--json", "--quiet").json


def test_a_folder_of_another_demo_is_refused(sdlora, small):
    sdlora("demo", "--out", "here")
    path = small / "recipes/demo/sdlora.toml"
    path.write_text(path.read_text().replace("lr = 0.05", "lr = 0.06"))
    answer = sdlora("demo", "--out", "here")
    assert answer.code == 3
    assert "optim.lr = 0.05; now 0.06" in answer.err
    assert answer.err.endswith("Fix: sdlora demo --out OTHER_FOLDER, or delete here\n")


def test_the_shipped_recipes_are_the_same_but_for_the_method_and_its_tuned_rate():
    from sdlora.config.load import load_recipe
    from sdlora.config.resolved import resolved

    one, other = (resolved(load_recipe(f"demo/{method}")) for method in ("sdlora", "lora"))
    for recipe, method in ((one, "sdlora"), (other, "lora")):
        benchmark = resolved(load_recipe(f"glyphs100_10/{method}"))
        assert recipe["optim"].pop("lr") == benchmark["optim"]["lr"], "the rate found by the benchmark's search"
    for name in ("stream", "backbone", "optim"):
        assert one[name] == other[name]
    assert one["run"]["seeds"] == other["run"]["seeds"]
    assert (one["method"]["name"], other["method"]["name"]) == ("sdlora", "lora")
    assert one["method"]["rank"] == other["method"]["rank"]
    repaired, published = (load_recipe(f"demo/{name}").model_dump() for name in ("sdlora_layers", "sdlora"))
    changed = {key for key, value in repaired["method"].items() if published["method"][key] != value}
    assert changed == {"head", "head_init", "layers"}
    assert [repaired[name] for name in ("stream", "optim")] == [published[name] for name in ("stream", "optim")]


def test_ctrl_c_is_told_and_a_second_call_goes_on(sdlora, small, monkeypatch):
    import signal

    from sdlora.cli.progress import TrainingProgress

    original, told = TrainingProgress.on_epoch, []

    def interrupt(self, row):
        original(self, row)
        told.append(row)
        if len(told) == 9:  # the first epoch of the third run
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(TrainingProgress, "on_epoch", interrupt)
        answer = sdlora("demo")
    assert (answer.code, answer.out) == (130, "")
    assert answer.err.endswith("Stopped at task 1, epoch 2 of lora. The same command continues.\n")
    again = sdlora("demo")
    assert again.code == 0
    assert "sdlora was finished before" in again.err
    assert "lora found at task 1, epoch 2: continues there" in again.err
