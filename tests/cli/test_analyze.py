from pathlib import Path

import pytest


@pytest.fixture
def runs(sdlora, workplace):
    keep = ("run.keep_task_weights=true", "data.num_classes=6", "stream.num_tasks=3")
    sdlora("train", "tiny.toml", *keep)
    sdlora("train", "tiny.toml", *keep, "method.name=lora", "method.rank=2", "run.output_dir=runs/lora")
    return workplace / "runs"


def test_a_line_for_each_finding_and_figures(sdlora, runs):
    answer = sdlora("analyze", "runs/tiny/seed0", "--against", "runs/lora/seed0")
    assert (answer.code, answer.err) == (0, "")
    first, *findings, last = answer.out.splitlines()
    assert first == "runs/tiny/seed0: 3 tasks; verdict rules are in docs/analysis.md"
    assert [line.split()[0] for line in findings] == ["1", "2", "3"]
    assert {line.split()[-1] for line in findings} <= {"agrees", "disagrees", "undecided"}
    assert last == "Figures: runs/tiny/seed0/analysis/ (index.html, 3 SVG, 3 CSV)"
    assert len(list(Path("runs/tiny/seed0/analysis").iterdir())) == 7
    assert sdlora("report", "runs/tiny", "--json").code == 0  # a run stays a run


def test_json(sdlora, runs):
    answer = sdlora("analyze", "runs/tiny/seed0", "--json", "--out", "figures")
    assert list(answer.json) == ["run", "against", "method", "num_tasks", "findings", "folder"]
    assert [finding["number"] for finding in answer.json["findings"]] == [1, 2, 3]
    assert answer.json["folder"] == "figures"
    assert Path("figures/index.html").exists()
    assert not Path("runs/tiny/seed0/analysis").exists()


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["runs"], 3, "runs holds 2 runs"),
        (["gone"], 3, "gone does not exist"),
        (["runs/tiny/seed0", "--out", "runs"], 2, "runs was not written by sdlora"),
        (["runs/tiny/seed0", "--device", "tpu"], 2, "there is no device tpu here"),
    ],
)
def test_mistakes(words, code, message, sdlora, runs):
    answer = sdlora("analyze", *words)
    assert (answer.code, answer.out) == (code, "")
    assert message in answer.err.splitlines()[0]


def test_a_run_without_weights_says_how_to_keep_them(sdlora, workplace):
    sdlora("train", "tiny.toml")
    answer = sdlora("analyze", "runs/tiny/seed0")
    assert answer.code == 3
    assert answer.err.endswith("kept no weights of task 1\nFix: train with run.keep_task_weights=true\n")
