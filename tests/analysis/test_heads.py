import json

import pytest
from tiny import RECIPE
from typer.testing import CliRunner

from sdlora.analysis.heads import compare_heads, write_heads
from sdlora.errors import RunError
from sdlora.reports import load_runs

START = "method.head_init=discriminant"


def of_method(name):
    return RECIPE.replace('name = "sdlora"\nrank = 2', f'name = "{name}"')


def hits_of(folder):
    return json.loads((folder / "matrix.json").read_text())["hits"][-1]


def test_the_trained_head_gets_the_hits_of_the_run(train):
    folder = train(START)
    found = compare_heads(folder, device="cpu")
    assert found.hits["linear"] == hits_of(folder)
    assert set(found.hits) == {"linear", "discriminant", "ridge"}
    assert 0 <= found.accuracy("ridge") <= 1


@pytest.mark.parametrize("method", ["sdlora", "lora", "probe"])
def test_a_solved_head_afterwards_is_the_head_of_a_run_that_had_it(method, train):
    text = of_method(method)
    solved = train(START, "method.head=discriminant", text=text)
    assert compare_heads(train(START, text=text), device="cpu").hits["discriminant"] == hits_of(solved)


def test_reports_read_what_was_written(train):
    folder = train(START)
    found = compare_heads(folder, device="cpu")
    write_heads(found, folder)
    (run,) = load_runs([folder])
    assert run.heads.hits == found.hits
    assert run.heads.totals == found.totals


def test_a_method_without_features_of_its_own_is_refused(train):
    with pytest.raises(RunError, match="no features"):
        compare_heads(train(text=of_method("hide_prompt")), device="cpu")


def test_command(train):
    from sdlora.cli.main import app

    folder = train(START)
    done = CliRunner().invoke(app, ["analyze", str(folder), "--heads", "--json"])
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)["acc"]) == {"linear", "discriminant", "ridge"}
    assert (folder / "heads.json").is_file()
