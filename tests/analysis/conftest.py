"""Small runs that kept their weights."""

import pytest
from tiny import RECIPE

from sdlora.config.build import build
from sdlora.config.load import parse_recipe
from sdlora.config.resolved import recipe_toml, resolved
from sdlora.engine import fit

KEPT = ("run.keep_task_weights=true", "stream.num_tasks=3", "data.num_classes=6")


@pytest.fixture(scope="session")
def train(tmp_path_factory):
    """Return a function that trains the recipe with changes, once for each set of them, and returns the run folder."""
    root = tmp_path_factory.mktemp("runs")
    done = {}

    def run(*changes, text=RECIPE):
        if (changes, text) not in done:
            recipe = parse_recipe(text.encode(), [*KEPT, *changes], name="test")
            experiment, folder = build(recipe), root / f"{len(done)}" / "seed0"
            options, resolved_text = experiment.options(0), recipe_toml(recipe, 0)
            stream = experiment.stream(0)
            fit(experiment.method, stream, options, folder, recipe=resolved(recipe), recipe_text=resolved_text)
            done[changes, text] = folder
        return done[changes, text]

    return run


@pytest.fixture
def sdlora(train):
    return train()


@pytest.fixture
def lora(train):
    return train("method.name=lora")
