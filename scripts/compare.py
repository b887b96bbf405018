"""Tune and compare all methods of one folder of recipes; every part resumes where it stopped.

Run: python scripts/compare.py tune recipes/glyphs100_10            learning rates on a seed that no table uses
     python scripts/compare.py run recipes/glyphs100_10             every recipe over its own seeds, then the report
     python scripts/compare.py run recipes/glyphs100_10 --jobs 2    two runs at a time, one thread each

Tuning gives every recipe the same budget: the factors of `GRID` times the learning rate that its source names or that
stands in the recipe. It prints a table and writes it beside the runs; the winner is put into the recipe by hand.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

GRID = (0.1, 0.3, 1.0, 3.0)
TUNING_SEEDS = (100,)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("tune", "run"))
    parser.add_argument("recipes", type=Path, help="folder of recipes")
    parser.add_argument("--only", nargs="*", help="names of recipes, without .toml")
    parser.add_argument("--jobs", type=int, default=max(1, (os.cpu_count() or 1)))
    args = parser.parse_args()
    recipes = sorted(p for p in args.recipes.glob("*.toml") if not args.only or p.stem in args.only)
    if args.what == "tune":
        tune(recipes, args.jobs)
    else:
        run(recipes, args.jobs)


def tune(recipes: list[Path], jobs: int) -> None:
    """Try every factor of the grid on every recipe that trains, then print the mean Acc of each."""
    trials = {}
    for recipe in recipes:
        lr = tomllib.loads(recipe.read_text(encoding="utf-8"))["optim"].get("lr")
        for factor in GRID if lr is not None else ():
            rate = float(f"{lr * factor:.2g}")
            folder = Path("runs/tuning") / recipe.parent.name / recipe.stem / f"lr{rate:g}"
            trials[recipe.stem, rate] = (recipe, folder, [f"optim.lr={rate!r}"])
    commands = [
        command(recipe, [seed], [*extra, f'run.output_dir="{folder}"'])
        for recipe, folder, extra in trials.values()
        for seed in TUNING_SEEDS
    ]
    call_all(commands, jobs)
    lines = ["| recipe | learning rate | Acc, % |", "|---|---|---|"]
    for (name, rate), (_, folder, _) in trials.items():
        accs = [final_accuracy(folder / f"seed{seed}") for seed in TUNING_SEEDS]
        known = [acc for acc in accs if acc is not None]
        mean = f"{100 * sum(known) / len(known):.1f}" if len(known) == len(accs) else "diverged"
        lines.append(f"| {name} | {rate:g} | {mean} |")
    table = "\n".join(lines) + "\n"
    (Path("runs/tuning") / recipes[0].parent.name / "table.md").write_text(table, encoding="utf-8")
    print(table)


def run(recipes: list[Path], jobs: int) -> None:
    """Run every recipe over its seeds, then write one report of them all."""
    commands, folders = [], []
    for recipe in recipes:
        section = tomllib.loads(recipe.read_text(encoding="utf-8"))["run"]
        folders.append(section["output_dir"])
        commands += [command(recipe, [seed], []) for seed in section["seeds"]]
    call_all(commands, jobs)
    subprocess.run([sys.executable, "-m", "sdlora.cli.main", "report", *folders], check=True)


def command(recipe: Path, seeds: list[int], overrides: list[str]) -> list[str]:
    seeding = f"run.seeds={json.dumps(seeds)}"
    return [sys.executable, "-m", "sdlora.cli.main", "train", str(recipe), seeding, *overrides, "--quiet"]


def call_all(commands: list[list[str]], jobs: int) -> None:
    """Run commands, `jobs` at a time, sharing the cores; a run that diverges is reported and does not stop the rest."""
    threads = str(max(1, (os.cpu_count() or 1) // jobs))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads}

    def call(arguments: list[str]) -> None:
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False)
        print(" ".join(arguments[3:]), "->", done.returncode, done.stderr.strip()[-300:], flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(call, commands))


def final_accuracy(folder: Path) -> float | None:
    """Return the task-mean accuracy after the last task, or None if the run did not get there."""
    path = folder / "matrix.json"
    if not path.exists():
        return None
    matrix = json.loads(path.read_text(encoding="utf-8"))
    hits, totals = matrix["hits"][-1], matrix["totals"][-1]
    if None in hits:
        return None
    return sum(h / t for h, t in zip(hits, totals, strict=True)) / len(hits)


if __name__ == "__main__":
    main()
