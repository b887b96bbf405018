"""The script behind the tables: what it tunes, how far, and which runs it takes for done."""

import importlib.util
import json
import shutil
from pathlib import Path

import pytest

from sdlora.config.find import shipped_recipes

ROOT = Path(__file__).parents[2]
UNTUNED = {"joint", "simplecil"} | {"sdlora_rr", "sdlora_kd"}  # their own or no settings; those of sdlora


@pytest.fixture
def compare(monkeypatch):
    path = ROOT / "scripts" / "compare.py"
    spec = importlib.util.spec_from_file_location("compare", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.chdir(ROOT)
    return module


@pytest.fixture
def measured(compare, monkeypatch):
    """Accuracies by factor, in place of runs."""
    found = {}
    monkeypatch.setattr(compare, "accuracy", lambda factor: found.get(factor, -1.0))
    monkeypatch.setattr(compare, "trial_folder", lambda recipe, factor: factor)
    monkeypatch.setattr(compare, "call_all", lambda commands, jobs: None)
    return found


def test_every_recipe_of_the_benchmark_is_tuned_or_named_as_not(compare):
    names = {name.split("/")[1] for name in shipped_recipes() if name.startswith("glyphs100_10/")}
    other_heads = {name for name in names if name.endswith(("_discriminant", "_slda", "_layers", "_layers_ridge"))}
    assert names == set(compare.SOURCE_RATES) | UNTUNED | other_heads  # those take the rate of their features


@pytest.mark.parametrize(
    ("accuracies", "tried", "best"),
    [
        ({0.1: 0.2, 0.3: 0.4, 1.0: 0.3, 3.0: 0.1}, [0.1, 0.3, 1.0, 3.0], 0.3),
        ({3.0: 0.2, 10.0: 0.4, 30.0: 0.3}, [0.1, 0.3, 1.0, 3.0, 10.0, 30.0], 10.0),
        ({0.1: 0.2, 0.3: 0.1, 0.03: 0.1}, [0.03, 0.1, 0.3, 1.0, 3.0], 0.1),
        ({0.1: 0.5, 0.3: 0.5, 1.0: 0.5, 3.0: 0.5, 10.0: 0.4}, [0.1, 0.3, 1.0, 3.0, 10.0], 1.0),
        ({0.1: 0.5, 0.3: 0.5, 1.0: 0.5, 3.0: 0.5, 10.0: 0.6, 30.0: 0.5}, [0.1, 0.3, 1.0, 3.0, 10.0, 30.0], 10.0),
        ({0.1: 0.1, 0.03: 0.2, 0.01: 0.3, 0.003: 0.4}, [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0], 0.003),
    ],
)
def test_the_grid_widens_until_the_best_stands_inside(compare, measured, accuracies, tried, best):
    measured.update(accuracies)
    recipe, factors = ROOT / "recipes/glyphs100_10/lora.toml", list(compare.GRID)
    while compare.widen(recipe, factors):
        pass
    assert factors == tried
    assert compare.best_factor(recipe, factors) == best


def test_the_tuning_table_has_the_winner_in_bold(compare, measured, capsys):
    measured.update({0.1: 0.2, 0.3: 0.456, 1.0: 0.3, 3.0: 0.1})
    compare.tune([ROOT / "recipes/glyphs100_10/lora.toml"], 1)
    assert capsys.readouterr().out == "| lora | 0.001: 20.0, **0.003: 45.6**, 0.01: 30.0, 0.03: 10.0 |\n"


def test_kept_results_have_the_settings_that_their_recipes_have_now(compare):
    kept = [path.relative_to(ROOT / "results").parts for path in sorted((ROOT / "results").glob("*/*/seed*"))]
    assert kept
    for stream, name, seed in kept:
        assert compare.is_kept(ROOT / "recipes" / stream / f"{name}.toml", int(seed[4:])), (stream, name, seed)


def test_a_changed_recipe_or_an_unfinished_run_is_not_taken_for_done(compare, tmp_path, monkeypatch):
    recipe = tmp_path / "glyphs100_10" / "lora.toml"
    recipe.parent.mkdir()
    text = (ROOT / "recipes/glyphs100_10/lora.toml").read_text()
    recipe.write_text(text)
    folder = tmp_path / "results/glyphs100_10/lora/seed0"
    shutil.copytree(ROOT / "results/glyphs100_10/lora/seed0", folder)
    monkeypatch.setattr(compare, "RESULTS", tmp_path / "results")
    assert compare.is_kept(recipe, 0)
    assert not compare.is_kept(recipe, 1)
    recipe.write_text(text.replace("epochs = 4", "epochs = 5"))
    assert not compare.is_kept(recipe, 0)
    recipe.write_text(text.replace('precision = "bf16"', 'precision = "float32"'))
    assert not compare.is_kept(recipe, 0)
    recipe.write_text(text)
    matrix = json.loads((folder / "matrix.json").read_text())
    matrix["hits"][-1][0] = None
    (folder / "matrix.json").write_text(json.dumps(matrix))
    assert not compare.is_kept(recipe, 0)


def test_the_figure_shows_what_has_all_seeds_and_the_table_everything(compare, tmp_path, monkeypatch):
    from sdlora import reports

    folder, drawn = tmp_path / "glyphs100_10", []
    for name, seeds in (("sdlora", 2), ("lora", 2), ("probe", 1), ("sdlora_paper", 2)):
        for seed in range(seeds):
            shutil.copytree(ROOT / f"results/glyphs100_10/{name}/seed{seed}", folder / name / f"seed{seed}")
    monkeypatch.setattr(
        reports, "figure_for_readme", lambda runs, path: drawn.extend(run.path.parent.name for run in runs)
    )
    monkeypatch.setattr(reports, "figure_across_streams", lambda runs, path: None)
    compare.report(folder)
    assert sorted(drawn) == ["lora", "lora", "sdlora", "sdlora"]
    assert len((folder / "table.md").read_text().splitlines()) == 2 + 4


def test_the_table_over_numbers_of_tasks_has_a_row_for_each_recipe_and_says_what_is_missing(
    compare, tmp_path, monkeypatch
):
    for stream, name, seeds in (("glyphs100_10", "sdlora", 2), ("glyphs100_10", "lora", 1), ("glyphs100_5", "lora", 1)):
        for seed in range(seeds):
            source = ROOT / f"results/glyphs100_10/{name}/seed{seed}"
            shutil.copytree(source, tmp_path / stream / name / f"seed{seed}")
    monkeypatch.setattr(compare, "RESULTS", tmp_path)
    monkeypatch.setattr(compare, "IMAGES", tmp_path)
    compare.across("glyphs100")
    title, _, *rows = (tmp_path / "glyphs100.md").read_text().splitlines()
    assert title == "| recipe | 5 tasks | 10 tasks |"
    assert [row.split(" | ")[0] for row in rows] == ["| sdlora", "| lora"]
    assert rows[0].startswith("| sdlora | – | ")
    assert rows[0].endswith("(2 seeds) |")
    assert rows[1].count("(1 seed)") == 2
    assert (tmp_path / "glyphs100.svg").exists()
