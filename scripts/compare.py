"""Tune and compare all methods of folders of recipes; every part resumes where it stopped.

Run: python scripts/compare.py tune recipes/glyphs100_10       learning rates, on a seed that no table uses
     python scripts/compare.py run recipes/glyphs100_*         every recipe over its own seeds, then tables and figures
     ... --only sdlora lora --jobs 2                           some recipes, in this order; two at a time

Tuning treats every recipe alike: the factors of `GRID` times the rate in `SOURCE_RATES`, and one factor of `LADDER`
more as long as the best one stands at an end, or above as long as none makes a difference. The winner is put into the
recipe by hand.

What a run leaves behind for the tables is copied from runs/ to results/. A run that results/ holds already, with the
settings that its recipe has now, is not repeated. Threads of a run: OMP_NUM_THREADS, else the cores over the jobs.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import shutil
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from pathlib import Path

LADDER = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)
GRID = LADDER[3:7]
TUNING_SEED = 100
RESULTS, TUNING, IMAGES = Path("results"), Path("runs/tuning"), Path("docs/img")
SDLORA = (sys.executable, "-m", "sdlora.cli.main")
KEPT = ("cost.json", "heads.json", "manifest.json", "matrix.json", "metrics.jsonl", "recipe.toml")

REPAIRED = ("sdlora_discriminant", "sdlora_slda", "sdlora_layers", "probe_layers")
"""Recipes that figures show besides."""

SOURCE_RATES = {  # of the settings each method comes with, scaled to batch 32 where these scale it; or a middle guess
    "coda_prompt": 1e-3,
    "dualprompt": 0.03 * 32 / 256,
    "ease": 2.5e-2,
    "finetune": 3e-4,
    "hide_prompt": 0.03 * 32 / 256,
    "inflora": 5e-4,
    "l2p": 0.03 * 32 / 256,
    "lora": 1e-2,
    "probe": 1e-1,
    "ranpac": 1e-2,
    "sdlora": 1e-2,
    "sdlora_continuous": 1e-2,
    "sdlora_paper": 8e-3,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("tune", "run"))
    parser.add_argument("folders", type=Path, nargs="+", help="folders of recipes")
    parser.add_argument("--only", nargs="*", help="names of recipes, without .toml, in the order wanted")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    args = parser.parse_args()
    for folder in args.folders:
        names = args.only or sorted(path.stem for path in folder.glob("*.toml"))
        recipes = [folder / f"{name}.toml" for name in names if (folder / f"{name}.toml").exists()]
        if args.what == "tune":
            tune([recipe for recipe in recipes if recipe.stem in SOURCE_RATES], args.jobs)
        else:
            run(recipes, args.jobs)


def tune(recipes: list[Path], jobs: int) -> None:
    """Try the rates of the grid on every recipe, then those beyond its ends; print a table of Acc in percent."""
    tried = {recipe: list(GRID) for recipe in recipes}
    waiting = recipes
    while waiting:
        trials = [(recipe, factor) for recipe in waiting for factor in tried[recipe]]
        call_all([trial(*pair) for pair in trials if accuracy(trial_folder(*pair)) < 0], jobs)
        waiting = [recipe for recipe in waiting if widen(recipe, tried[recipe])]
    for recipe, factors in tried.items():
        best = best_factor(recipe, factors)
        cells = [f"{rate(recipe, f):g}: {100 * accuracy(trial_folder(recipe, f)):.1f}" for f in factors]
        cells[factors.index(best)] = f"**{cells[factors.index(best)]}**"
        print(f"| {recipe.stem} | {', '.join(cells)} |", flush=True)


def widen(recipe: Path, factors: list[float]) -> bool:
    """Add the next factor of the ladder if the best one stands at an end; say whether there was one to add.

    Rates that all lead to the same accuracy are too small for the number of steps, so a larger one is tried.
    """
    same = len({accuracy(trial_folder(recipe, factor)) for factor in factors}) == 1
    place = LADDER.index(factors[-1] if same else best_factor(recipe, factors))
    for end, beyond in ((factors[0], place - 1), (factors[-1], place + 1)):
        if LADDER[place] == end and 0 <= beyond < len(LADDER):
            factors[:] = sorted([*factors, LADDER[beyond]])
            return True
    return False


def best_factor(recipe: Path, factors: list[float]) -> float:
    """Return the factor of the highest accuracy; among equals the one nearest to the source's own rate."""
    return max(factors, key=lambda factor: (accuracy(trial_folder(recipe, factor)), -abs(math.log(factor))))


def rate(recipe: Path, factor: float) -> float:
    return float(f"{SOURCE_RATES[recipe.stem] * factor:.2g}")


def trial_folder(recipe: Path, factor: float) -> Path:
    return TUNING / recipe.parent.name / recipe.stem / f"lr{rate(recipe, factor):g}" / f"seed{TUNING_SEED}"


def trial(recipe: Path, factor: float) -> list[str]:
    folder = trial_folder(recipe, factor).parent
    return training(recipe, TUNING_SEED, f"optim.lr={rate(recipe, factor)!r}", f'run.output_dir="{folder}"')


def run(recipes: list[Path], jobs: int) -> None:
    """Run every recipe over its seeds, seed by seed, keep what tables need, and report after every seed."""
    wanted = [(seed, recipe) for recipe in recipes for seed in settings(recipe)["run"]["seeds"]]
    for seed in sorted({seed for seed, _ in wanted}):
        missing = [recipe for one, recipe in wanted if one == seed and not is_kept(recipe, seed)]
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(keep, missing, repeat(seed), repeat(jobs)))
        if missing:
            report(RESULTS / recipes[0].parent.name)
    if recipes:
        folder = RESULTS / recipes[0].parent.name
        subprocess.run([*SDLORA, "report", str(folder), "--out", str(folder / "report.html")], check=True)
        across(folder.name.rpartition("_")[0])


def keep(recipe: Path, seed: int, jobs: int) -> None:
    """Finish one run, solve other heads on its features if tables want them, and copy its small files to results/."""
    source = Path(settings(recipe)["run"]["output_dir"]) / f"seed{seed}"
    if has_heads(recipe):
        call(training(recipe, seed, "run.keep_task_weights=true"), jobs)
        call([*SDLORA, "analyze", str(source), "--heads", "--quiet"], jobs)
    else:
        call(training(recipe, seed), jobs)
    if accuracy(source) >= 0:
        target = kept_folder(recipe, seed)
        target.mkdir(parents=True, exist_ok=True)
        for name in KEPT:
            if (source / name).exists():
                shutil.copyfile(source / name, target / name)


def has_heads(recipe: Path) -> bool:
    """Whether other heads are tried on the features of a recipe: those whose linear head starts as a discriminant."""
    method = settings(recipe)["method"]
    return method.get("head_init") == "discriminant" and "head" not in method


def kept_folder(recipe: Path, seed: int) -> Path:
    return RESULTS / recipe.parent.name / recipe.stem / f"seed{seed}"


def is_kept(recipe: Path, seed: int) -> bool:
    """Whether results/ holds this run, with every setting that the recipe names."""
    folder = kept_folder(recipe, seed)
    if accuracy(folder) < 0 or (has_heads(recipe) and not (folder / "heads.json").exists()):
        return False
    used = settings(folder / "recipe.toml")
    named = {**settings(recipe), "run": {"precision": settings(recipe)["run"].get("precision", "float32")}}
    return all(used[part].get(key) == value for part, keys in named.items() for key, value in keys.items())


def report(folder: Path) -> None:
    """Write table and figure of the finished runs of one stream."""
    from sdlora import reports

    table = reports.render_table(reports.summarise(reports.load_runs([folder])), "markdown")
    (folder / "table.md").write_text(table + "\n", encoding="utf-8")
    for comparison in reports.compare(reports.load_runs([folder])):
        if heads := reports.heads_table(comparison):
            (folder / "heads.md").write_text(reports.render_heads(heads) + "\n", encoding="utf-8")
    runs = reports.load_runs(pictured(folder))
    reports.figure_for_readme(runs, IMAGES / f"{folder.name}.svg")
    reports.figure_across_streams(runs, IMAGES / f"{folder.name}_acc.svg")


def pictured(folder: Path) -> list[Path]:
    """Return what figures show of a stream: recipes named like their method with most seeds, and `REPAIRED`."""
    from sdlora.methods import METHODS

    seeds = {folder / name: len(list((folder / name).glob("seed*"))) for name in METHODS.names()}
    full = [path for path, number in seeds.items() if number == max(seeds.values())]
    return full + [folder / name for name in REPAIRED if any((folder / name).glob("seed*"))]


def across(benchmark: str) -> None:
    """Write table and figure of a benchmark over its numbers of tasks; the table has a row for every recipe."""
    from sdlora import reports

    folders = sorted(RESULTS.glob(f"{benchmark}_*"), key=lambda folder: int(folder.name.rpartition("_")[2]))
    rows: dict[str, dict[Path, dict]] = {}
    for folder in folders:
        for path in sorted(path for path in folder.iterdir() if path.is_dir()):
            rows.setdefault(path.name, {})[folder] = reports.summarise(reports.load_runs([path]))[0]
    order = sorted(rows, key=lambda name: -sum(row["acc_mean"] for row in rows[name].values()) / len(rows[name]))
    lines = [
        "| recipe | " + " | ".join(f"{folder.name.rpartition('_')[2]} tasks" for folder in folders) + " |",
        "|---" * (1 + len(folders)) + "|",
        *("| " + " | ".join([name, *(cell(rows[name].get(folder)) for folder in folders)]) + " |" for name in order),
    ]
    (RESULTS / f"{benchmark}.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    runs = reports.load_runs([path for folder in folders for path in pictured(folder)])
    reports.figure_across_streams(runs, IMAGES / f"{benchmark}.svg")


def cell(row: dict | None) -> str:
    """Return Acc in percent, mean and deviation, and the number of seeds where it is not five."""
    if row is None:
        return "–"
    spread = "" if row["acc_std"] is None else f" ± {100 * row['acc_std']:.1f}"
    seeds = "" if row["seeds"] == 5 else f" ({row['seeds']} seed{'s' if row['seeds'] > 1 else ''})"
    return f"{100 * row['acc_mean']:.1f}{spread}{seeds}"


def training(recipe: Path, seed: int, *overrides: str) -> list[str]:
    return [*SDLORA, "train", str(recipe), f"run.seeds=[{seed}]", *overrides, "--quiet"]


def call_all(commands: list[list[str]], jobs: int) -> None:
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(lambda command: call(command, jobs), commands))


def call(command: list[str], jobs: int) -> None:
    """Run a command; one that fails or diverges is reported and does not stop the rest."""
    threads = os.environ.get("OMP_NUM_THREADS") or str(max(1, (os.cpu_count() or 1) // jobs))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    print(" ".join(command[3:]), "->", done.returncode, done.stderr.strip()[-300:], flush=True)


def settings(path: Path) -> dict[str, dict]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def accuracy(folder: Path) -> float:
    """Return the task-mean accuracy after the last task, or -1 if the run did not get there."""
    path = folder / "matrix.json"
    if not path.exists():
        return -1.0
    matrix = json.loads(path.read_text(encoding="utf-8"))
    hits, totals = matrix["hits"][-1], matrix["totals"][-1]
    if None in hits:
        return -1.0
    return sum(h / t for h, t in zip(hits, totals, strict=True)) / len(hits)


if __name__ == "__main__":
    main()
