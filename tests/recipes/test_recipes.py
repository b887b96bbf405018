"""Every shipped recipe is a promise: it loads, its header is complete, and it takes a step."""

import re
import tomllib
from pathlib import Path

import pytest
import torch

from sdlora.config.build import build
from sdlora.config.find import recipes_folder, shipped_recipes
from sdlora.config.load import load_recipe, parse_recipe
from sdlora.config.resolved import recipe_toml
from sdlora.engine.optim import make_optimizer
from sdlora.streams import PlainBatches, TrainBatches
from sdlora.task import TaskData

RECIPES = shipped_recipes()
TINY = (
    "stream.dataset=synthetic",
    "stream.num_tasks=2",
    "stream.class_order=seed",
    "data.num_classes=6",
    "data.train_images=2",
    "data.test_images=1",
    "backbone.name=untrained_vit",
    "run.device=cpu",
)


def test_none_is_lost_and_none_is_hidden():
    assert set(RECIPES.values()) == set(recipes_folder().rglob("*.toml"))
    assert len(RECIPES) >= 158
    assert all(path.is_dir() or path.suffix == ".toml" for path in recipes_folder().rglob("*"))


@pytest.mark.parametrize("name", RECIPES)
def test_it_loads_and_resolves_to_itself(name):
    recipe = load_recipe(name)
    assert parse_recipe(recipe_toml(recipe).encode(), name="resolved") == recipe


@pytest.mark.parametrize("name", RECIPES)
def test_its_header_says_source_command_expectation_and_differences(name):
    lines = RECIPES[name].read_text(encoding="utf-8").splitlines()
    header = lines[: lines.index("[run]")]
    assert all(line.startswith("# ") and len(line) <= 120 for line in header)
    text = "\n".join(header)
    for word in ("Run:", "Expect:", "Differs:"):
        assert len(re.findall(rf"^# {word} +\S", text, re.MULTILINE)) == 1
    command = re.search(r"^# Run: +sdlora train (\S+)", text, re.MULTILINE)
    assert command is not None
    assert command[1] == name


def test_numbers_in_headers_are_ascribed_to_whoever_measured_them():
    for name, path in RECIPES.items():
        expected = re.search(r"^# Expect:(.*)$", path.read_text(encoding="utf-8"), re.MULTILINE)
        if re.search(r"\d\d\.\d\d", expected[1]):
            assert re.search(r"its log ends|the paper( of \w+)? reports", expected[1]), name
            assert "not measured here" in expected[1], name


@pytest.mark.parametrize("name", RECIPES)
def test_its_runs_go_to_a_folder_of_its_own_name(name):
    assert load_recipe(name).run.output_dir == f"runs/{name}"


def test_paper_recipes_have_the_settings_of_the_paper():
    epochs = {"imagenet_r": 30, "domainnet": 10}
    tasks = {"imagenet_r_5": 5, "imagenet_r_20": 20, "domainnet_5": 5}
    for name in RECIPES:
        if not name.startswith("paper/"):
            continue
        recipe, (_, stream, method) = load_recipe(name), name.split("/")
        assert recipe.run.seeds == (0, 1, 2, 3, 4)
        assert recipe.backbone.name == "vit_base_patch16_224.augreg2_in21k_ft_in1k"
        assert recipe.stream.num_tasks == tasks.get(stream, 10)
        assert recipe.optim.batch_size == 128
        assert recipe.optim.epochs == epochs.get(recipe.stream.dataset, 20)
        if method.startswith("sdlora") or method == "lora":
            assert (recipe.optim.name, recipe.optim.lr, recipe.method.rank) == ("adam", 8e-3, 10)
        if method.startswith("sdlora"):
            assert recipe.method.preset == "paper"
            assert recipe.method.rank_schedule == ("paper" if method == "sdlora_rr" else None)
            assert recipe.method.distill_threshold == (9e-4 if method == "sdlora_kd" else None)


def test_every_stream_of_the_paper_has_every_method_of_its_tables():
    methods = {"finetune", "lora", "l2p", "dualprompt", "coda_prompt", "hide_prompt", "inflora"}
    methods |= {"sdlora", "sdlora_rr", "sdlora_kd"}
    streams = {name.rsplit("/", 1)[0] for name in RECIPES if name.startswith("paper/")}
    assert len(streams) == 7
    assert {f"{stream}/{method}" for stream in streams for method in methods} <= set(RECIPES)


@pytest.mark.parametrize("stream", ["glyphs100_5", "glyphs100_20", "demo"])
def test_streams_beside_the_tuned_one_take_its_settings(stream):
    names = [name for name in RECIPES if name.startswith(f"{stream}/")]
    assert len(names) >= 14
    for name in names:
        one, tuned = load_recipe(name), load_recipe(f"glyphs100_10/{name.split('/')[1]}")
        assert one.optim == tuned.optim, name
        assert one.run.precision == tuned.run.precision, name
        tasks = {"num_tasks"} if one.method.name == "inflora" else set()
        assert one.method.model_dump(exclude=tasks) == tuned.method.model_dump(exclude=tasks), name


def test_what_depends_on_the_number_of_tasks_follows_it():
    for name in RECIPES:
        recipe = load_recipe(name)
        num_tasks = recipe.stream.num_tasks or len(recipe.stream.task_sizes)
        if recipe.method.name == "inflora":
            assert recipe.method.num_tasks == num_tasks, name
        if name.startswith("paper/") and recipe.method.name == "coda_prompt":
            assert recipe.method.num_components * num_tasks == 100, name


@pytest.mark.parametrize("name", RECIPES)
def test_one_step_on_a_tiny_model(name):
    section = tomllib.loads(Path(RECIPES[name]).read_text(encoding="utf-8"))
    few = ("method.projection_dim=64",) if section["method"]["name"] == "ranpac" else ()
    experiment = build(load_recipe(name, [*TINY, *few]))
    options = experiment.options(0)
    method = experiment.method()
    stream = experiment.stream(0).joined() if method.joint else experiment.stream(0)
    task, split = stream.tasks[0], stream.train(0)
    size = experiment.backbone.image_size
    train = TrainBatches(split, options.batch_size, 0, 0, 0, split.augment, size)
    data = TaskData(train=train, plain=PlainBatches(split, 8, size))
    method.begin_task(task)
    method.prepare(data)
    if "lr" in section["optim"] and method.param_groups():
        before = {key: value.clone() for key, value in method.state_dict().items()}
        optimizer = make_optimizer(method.param_groups(), options.optim)
        torch.stack(list(method.train().losses(*next(iter(train))).values())).sum().backward()
        learns = any(parameter.grad is not None and bool(parameter.grad.any()) for parameter in method.parameters())
        optimizer.step()
        moves = any(not torch.equal(value, before[key]) for key, value in method.state_dict().items())
        assert moves or (learns and method.head_init == "discriminant")  # which may leave less than float32 can add
    method.end_task(data)
    logits = method.eval()(next(iter(data.plain))[0])
    assert logits.shape[1] == task.num_seen
    assert torch.isfinite(logits).all()
