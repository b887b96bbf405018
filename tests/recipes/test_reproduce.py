"""Recipes of released settings against the tables of their sources, key by key.

Learning rates are written as the sources compute them, so that the scaling by the batch can be read.
"""

import pytest

from sdlora.config.find import shipped_recipes
from sdlora.config.load import load_recipe
from sdlora.config.schema import NumpyOrder, StepsSection
from sdlora.reports.paper import _TABLES

NAMES = {name.removeprefix("reproduce/") for name in shipped_recipes() if name.startswith("reproduce/")}

# Weights: which ImageNet, how trained; the tag says it, a bare timm name would not.
ORIGINAL = "vit_base_patch16_224.orig_in21k"
IN21K, IN1K = "vit_base_patch16_224.augreg_in21k", "vit_base_patch16_224.augreg_in21k_ft_in1k"
IN1K_AGAIN = "vit_base_patch16_224.augreg2_in21k_ft_in1k"

# Smallest crop in training; share of the shorter side that is seen at test.
NARROW, WIDE, WHOLE = (0.05, 0.875), (0.08, 0.875), (0.08, 1.0)


def optim(name: str, lr: float, epochs: int, batch_size: int, **other: object) -> dict[str, object]:
    """Return all keys of the section, with what most sources leave out as it is then."""
    rest = {"momentum": 0.9 if name == "sgd" else None, "weight_decay": 0.0, "schedule": "constant", "clip_norm": None}
    return {"name": name, "lr": lr, "epochs": epochs, "batch_size": batch_size, **rest, **other}


def hide(epochs: int, schedule: object) -> dict[str, object]:
    return optim("adam", 0.03 * 24 / 256, epochs, 8 * 24, schedule=schedule, clip_norm=1.0)


def cosine_sgd(lr: float, batch_size: int, weight_decay: float) -> dict[str, object]:
    return optim("sgd", lr, 20, batch_size, weight_decay=weight_decay, schedule="cosine")


def inflora(threshold: float, num_tasks: int) -> dict[str, object]:
    fixed = {"rank": 10, "targets": ("qkv:k", "qkv:v"), "energy": "fourth", "head_lr_scale": 1.0}
    return {"threshold": threshold, "num_tasks": num_tasks, **fixed}


L2P = {"pool_size": 10, "prompt_length": 5, "num_selected": 5, "pull": 0.1, "batch_vote": True}
BLOCKS = {"g_layers": (0, 1), "e_layers": (2, 3, 4), "g_length": 5, "pull": 1.0}
CODA = {"layers": (0, 1, 2, 3, 4), "num_components": 10, "prompt_length": 8, "orthogonality": 0.0}
HIDE = {"layers": (0, 1, 2, 3, 4), "momentum": 0.01, "port_layout": True}
RELEASED = {
    "preset": "released",
    "rank": 10,
    "rank_schedule": None,
    "distill_threshold": None,
    "head_init": "released",
    "head_lr_scale": 1.0,
    "targets": ("qkv:q", "qkv:v"),
}
EASE = {"adapter_width": 64, "alpha": 0.1, "refresh": True, "dropout": 0.1}
AFTER_30 = StepsSection(epochs=(31,), factor=0.1)  # the step at epoch 30 takes effect one later, by timm's count

# Weights, seed of the class order (None: the dataset's own), views, method, optimiser.
SETTINGS = {
    "cifar100_10/l2p": (ORIGINAL, None, NARROW, L2P, optim("adam", 0.03 * 16 / 256, 5, 16, clip_norm=1.0)),
    "cifar100_10/dualprompt": (
        *(ORIGINAL, None, NARROW, BLOCKS | {"e_length": 5, "batch_vote": True}),
        optim("adam", 0.03 * 24 / 256, 5, 24, clip_norm=1.0),
    ),
    "imagenet_r_10/dualprompt": (
        *(ORIGINAL, None, NARROW, BLOCKS | {"e_length": 20, "batch_vote": False}),
        optim("adam", 0.005 * 24 / 256, 50, 24, clip_norm=1.0),
    ),
    "cifar100_10/coda_prompt": (IN1K, None, WHOLE, CODA, optim("adam", 1e-3, 20, 128, schedule="cosine")),
    "imagenet_r_10/coda_prompt": (IN1K, None, WIDE, CODA, optim("adam", 1e-3, 50, 128, schedule="cosine")),
    "cifar100_10/hide_prompt": (
        *(ORIGINAL, None, WIDE),
        HIDE | {"prompt_length": 5, "contrastive": 0.1, "head_lr_scale": 0.1, "identity_lr": 5e-4 * 24 / 256},
        hide(50, AFTER_30),
    ),
    "imagenet_r_10/hide_prompt": (
        *(ORIGINAL, None, NARROW),
        HIDE | {"prompt_length": 20, "contrastive": 0.5, "head_lr_scale": 0.1, "identity_lr": 5e-4 * 24 / 256},
        hide(150, "cosine"),
    ),
    "cub200_10/hide_prompt": (
        *(ORIGINAL, None, NARROW),
        HIDE | {"prompt_length": 20, "contrastive": 0.01, "head_lr_scale": 1.0, "identity_lr": 1e-2 * 24 / 256},
        hide(50, AFTER_30),
    ),
    "cifar100_10/inflora": (
        *(IN21K, None, WHOLE, inflora(0.95, 10)),
        optim("adam", 5e-4, 20, 128, schedule="cosine"),
    ),
    **{
        f"imagenet_r_{num_tasks}/inflora": (
            *(IN21K, None, WIDE, inflora(0.98, num_tasks)),
            optim("adam", 5e-4, 50, 128, schedule="cosine"),
        )
        for num_tasks in (5, 10, 20)
    },
    # The logs, not the settings files: they are what the figures in the headers were made with.
    "cifar100_10/sdlora": (IN1K_AGAIN, 1994, NARROW, RELEASED, optim("sgd", 8e-3, 20, 128)),
    "imagenet_a_10/sdlora": (IN1K_AGAIN, 1993, NARROW, RELEASED, optim("sgd", 1e-2, 20, 128)),
    "imagenet_r_5/sdlora": (IN1K_AGAIN, 1995, NARROW, RELEASED, optim("sgd", 1e-2, 20, 128)),
    "imagenet_r_10/sdlora": (IN1K_AGAIN, 1995, NARROW, RELEASED, optim("sgd", 8e-3, 20, 128)),
    "imagenet_r_20/sdlora": (IN1K_AGAIN, 1995, NARROW, RELEASED, optim("sgd", 1e-2, 20, 128)),
    "cifar100_10/ranpac": (
        *(IN21K, 1993, NARROW),
        {"adaptation": "adapter", "adapter_width": 64, "projection_dim": 10_000, "dropout": 0.1},
        cosine_sgd(0.01, 48, 5e-4),
    ),
    "imagenet_r_10/ranpac": (
        *(IN1K, 1993, NARROW, {"adaptation": "ssf", "projection_dim": 10_000}),
        cosine_sgd(0.01, 48, 5e-4),
    ),
    "cifar100_20/ease": (IN21K, 1993, NARROW, EASE, cosine_sgd(0.025, 48, 5e-4)),
    "imagenet_r_10/ease": (IN21K, 1993, NARROW, EASE, cosine_sgd(0.05, 16, 5e-3)),
    "cifar100_10/simplecil": (IN21K, 1993, NARROW, {}, None),
    "imagenet_r_10/simplecil": (IN1K, 1993, NARROW, {}, None),
}


def test_all_of_them_are_here():
    assert set(SETTINGS) == NAMES


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_are_those_of_the_source(name):
    recipe = load_recipe(f"reproduce/{name}")
    weights, order, (smallest, seen), method, training = SETTINGS[name]
    stream, _, kind = name.partition("/")
    assert (recipe.stream.dataset, recipe.stream.num_tasks) == (stream.rsplit("_", 1)[0], int(stream.rsplit("_", 1)[1]))
    assert recipe.backbone.name == weights
    assert recipe.stream.class_order == ("given" if order is None else NumpyOrder(numpy_seed=order))
    assert (recipe.data.crop_scale, recipe.data.test_crop) == ((smallest, 1.0), seen)
    assert (recipe.method.name, recipe.run.precision) == (kind, "float32")
    for key, value in method.items():
        assert getattr(recipe.method, key) == pytest.approx(value), key
    if training is None:
        assert recipe.optim.name is None
        return
    assert set(training) == set(type(recipe.optim).model_fields)
    for key, value in training.items():
        found = getattr(recipe.optim, key)
        assert (found == pytest.approx(value)) if isinstance(value, float) else (found == value), key


def test_inputs_are_what_the_released_code_feeds():
    cifar = ((0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761))
    for name in SETTINGS:
        section = load_recipe(f"reproduce/{name}").backbone
        expected = cifar if name == "cifar100_10/hide_prompt" else ((0, 0, 0), (1, 1, 1))
        assert (section.mean, section.std) == expected, name


def test_what_makes_a_prediction_depend_on_its_neighbours_is_only_here_and_named():
    found = set()
    for name, path in shipped_recipes().items():
        method = load_recipe(name).method
        keys = [key for key in ("batch_vote", "port_layout") if getattr(method, key, False)]
        if keys:
            text = " ".join(path.read_text(encoding="utf-8").replace("#", "").split())
            assert f"a prediction depends on its neighbours, see method.{keys[0]}." in text, name
            found.add(name)
    voting = {"cifar100_10/l2p": 16, "cifar100_10/dualprompt": 24}
    mixing = {name: 24 for name in SETTINGS if name.endswith("hide_prompt")}
    assert found == {f"reproduce/{name}" for name in voting | mixing}
    batches = {name: load_recipe(name).run.eval_batch_size for name in shipped_recipes()}
    assert {name: size for name, size in batches.items() if size} == {
        f"reproduce/{name}": size for name, size in (voting | mixing).items()
    }


def test_headers_of_the_papers_streams_quote_its_tables():
    tables = {(dataset, num_tasks): table for (dataset, num_tasks), table in _TABLES.items()}
    for name, path in shipped_recipes().items():
        if not name.startswith("paper/"):
            continue
        stream, kind = name.split("/")[1:]
        dataset, _, num_tasks = stream.rpartition("_")
        figures = tables[dataset, int(num_tasks)].get(kind)
        number = {"imagenet_r": f"Table 2, N = {num_tasks}.", "cifar100": "Table 6.", "cub200": "Table 6."}
        text = path.read_text(encoding="utf-8")
        if figures is None:
            assert "# Expect:  the paper's tables have no row for it," in text, name
        else:
            assert f"# Expect:  the paper reports Acc {figures[0]:.2f} and AAA {figures[1]:.2f} (%)," in text, name
            assert f"# Source:  arXiv 2501.13198, {number.get(dataset, 'Table 3.')}\n" in text, name
            assert ("variant in CODA-Prompt's code" in text) == (kind in ("l2p", "dualprompt")), name
