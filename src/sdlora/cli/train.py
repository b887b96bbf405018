"""``sdlora train``: run a recipe."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from sdlora.cli.console import Console
from sdlora.cli.options import Device, with_console

if TYPE_CHECKING:
    from sdlora.config.build import Experiment

EXAMPLES = (
    "sdlora train glyphs100_10/sdlora",
    "sdlora train glyphs100_10/sdlora optim.lr=0.02 run.output_dir=runs/mine",
)

Recipe = Annotated[str, typer.Argument(metavar="RECIPE", help="A file, or a name from: sdlora list recipes.")]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="SECTION.KEY=VALUE", help="Changes to the recipe.", show_default=False),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check everything, tell time and memory, and stop.")]
Print = Annotated[bool, typer.Option("--print", help="Print the recipe with all its defaults, and stop.")]
Fresh = Annotated[bool, typer.Option("--fresh", help="Begin anew; the run that is there is kept as seed<k>.old.")]


@with_console
def train(
    console: Console,
    recipe: Recipe,
    overrides: Overrides = None,
    *,
    dry_run: DryRun = False,
    print_only: Print = False,
    fresh: Fresh = False,
    device: Device = None,
) -> int:
    """Run a recipe with each of its seeds.

    Finished runs are recognised and interrupted ones go on where they were, so the same command is always safe.
    """
    from sdlora.config.load import load_recipe
    from sdlora.config.resolved import recipe_toml, resolved

    changes = [*(overrides or []), *([f"run.device={device}"] if device else [])]
    loaded = load_recipe(recipe, changes)
    if print_only:
        console.result(recipe_toml(loaded).rstrip("\n"))
        console.document(resolved(loaded))
        return 0
    from sdlora.config.build import build

    experiment = build(loaded)
    name = recipe.removesuffix(".toml")
    console.note(f"{name}: {heading(experiment)}")
    for note in experiment.dataset.notes:
        console.warn(note)
    if dry_run:
        return _rehearse(console, experiment)
    return _train(console, experiment, fresh=fresh)


def heading(experiment: Experiment) -> str:
    """Say in one line what is going to be trained on what."""
    from sdlora.engine.device import choose_device
    from sdlora.reports.findings import shape

    run = experiment.recipe.run
    groups = experiment.stream(run.seeds[0]).groups
    seeds = "seed" if len(run.seeds) == 1 else "seeds"
    backbone = f"{experiment.backbone.name} (sha256 {experiment.backbone.sha256[:8]})"
    numbers = " ".join(map(str, run.seeds))
    sizes = shape([group.num_classes for group in groups])
    return f"{sizes}, {seeds} {numbers}, {backbone}, {choose_device(run.device)} {run.precision}."


def _train(console: Console, experiment: Experiment, *, fresh: bool) -> int:
    from sdlora.cli.training import figures, summary, train_seeds
    from sdlora.reports.text import duration

    outcomes = train_seeds(experiment, console, name=experiment.recipe.method.name, fresh=fresh)
    document = summary(outcomes)
    console.document(document)
    last = outcomes[-1]
    if last.result.status == "stopped":
        console.note(f"Stopped at {last.place}. The same command continues.")
        return last.result.exit_code
    top = Path(experiment.recipe.run.output_dir)
    folders = " ".join(f"seed{outcome.seed}" for outcome in outcomes)
    console.result(f"{figures(document)} in {duration(sum(outcome.result.seconds for outcome in outcomes))}")
    model = ", with their models in model/" if last.model else ""
    console.result(f"Runs: {top}/ {folders}{model}")
    console.note(f"Next: sdlora report {quote(str(top))}")
    return 0


def _rehearse(console: Console, experiment: Experiment) -> int:
    from sdlora.cli.rehearsal import rehearse
    from sdlora.reports.text import duration, plural

    estimate = rehearse(experiment)
    console.document(estimate.to_dict())
    seeds = plural(len(experiment.recipe.run.seeds), "seed")
    memory = f", {estimate.memory_bytes / 2**30:.1f} GiB of memory" if estimate.memory_bytes else ""
    console.result(f"About {duration(estimate.seconds)} for each of {seeds}{memory}. Nothing was written.")
    return 0
