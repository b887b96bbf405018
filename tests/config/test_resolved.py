import pytest

from sdlora.config.load import parse_recipe
from sdlora.config.resolved import recipe_toml, resolved

BASE = """
[run]
seeds = [0, 1]
output_dir = "runs/x"
[stream]
dataset = "digits"
task_sizes = [5, 5]
class_order = "given"
[backbone]
name = "untrained_vit"
[method]
name = "{method}"
[optim]
batch_size = 8
"""
FINETUNE = BASE.format(method="finetune") + 'name = "sgd"\nlr = 1\nmomentum = 0\nepochs = 3\n'


@pytest.mark.parametrize("text", [FINETUNE, BASE.format(method="simplecil")])
def test_a_resolved_recipe_loads_to_itself(text):
    recipe = parse_recipe(text.encode(), ["data.crop_scale=[0.5, 1]"], name="a")
    again = parse_recipe(recipe_toml(recipe).encode(), name="b")
    assert again == recipe
    assert recipe_toml(again) == recipe_toml(recipe)
    assert parse_recipe(recipe_toml(recipe, seed=1).encode(), name="c").run.seeds == (1,)


def test_defaults_are_written_out_and_idle_keys_are_not():
    text = recipe_toml(parse_recipe(FINETUNE.encode(), name="a"))
    for line in ("head_lr_scale = 1.0", 'schedule = "constant"', "lr = 1.0", 'device = "auto"', "width = 32"):
        assert line in text
    for word in ("clip_norm", "num_tasks", "root", "[data]"):
        assert word not in text
    assert resolved(parse_recipe(BASE.format(method="simplecil").encode(), name="a"))["optim"] == {"batch_size": 8}
