import tomllib

import pytest

from sdlora.config.check import check
from sdlora.methods import base, finetune  # noqa: F401


def document(**changes):
    tables = {
        "run": {"seeds": [0], "output_dir": "runs/x"},
        "stream": {"dataset": "digits", "num_tasks": 5},
        "backbone": {"name": "untrained_vit"},
        "method": {"name": "finetune"},
        "optim": {"name": "sgd", "lr": 0.1, "momentum": 0.9, "epochs": 1, "batch_size": 8},
    }
    for path, value in changes.items():
        table, key = path.split("__")
        tables[table][key] = value
        if value is None:
            del tables[table][key]
    return tables


def problems(doc):
    recipe, found = check(doc)
    assert (recipe is None) == bool(found)
    return [str(problem) for problem in found]


def test_a_good_document():
    assert problems(document()) == []


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"optim__lrr": 1}, "optim.lrr: unknown key. Did you mean optim.lr?"),
        ({"method__lr": 1}, "method.lr: unknown key. Did you mean optim.lr?"),
        (
            {"run__quux": 1},
            "run.quux: unknown key. Expected: one of seeds, output_dir, device, "
            "precision, checkpoint_seconds, deterministic, eval_batch_size, keep_task_weights",
        ),
        ({"method__head_lr_scale": "ten"}, 'method.head_lr_scale = "ten". Expected: number'),
        ({"run__seeds": 3}, "run.seeds = 3. Expected: list of different integers from 0 to 4294967295"),
        ({"run__seeds": []}, "run.seeds = []. Expected: list of different integers from 0 to 4294967295"),
        (
            {"run__seeds": [0, "x", -1]},
            'run.seeds = [0, "x", -1]. Expected: list of different integers from 0 to 4294967295',
        ),
        ({"run__output_dir": None}, "run.output_dir: missing. Expected: text"),
        ({"optim__epochs": True}, "optim.epochs = true. Expected: integer from 1 to 1000000"),
        ({"optim__lr": float("nan")}, "optim.lr = nan. Expected: number above 0"),
        ({"optim__lr": float("inf")}, "optim.lr = inf. Expected: number above 0"),
        ({"optim__lr": tomllib.loads("x = 1979-05-27")["x"]}, "optim.lr = 1979-05-27. Expected: number above 0"),
        ({"method__name": "fintune"}, None),
        ({"method__name": 3}, "method.name = 3. Expected: text"),
        ({"method__name": ["finetune"]}, 'method.name = ["finetune"]. Expected: text'),
        ({"stream__dataset": "digit"}, None),
        (
            {"backbone__options": {"widht": 3}},
            "backbone.options.widht: unknown key. Did you mean backbone.options.width?",
        ),
        (
            {"backbone__options": 3},
            "backbone.options = 3. Expected: table with width, depth, num_heads, image_size, patch_size, seed",
        ),
        (
            {"backbone__name": "glyph_vit", "backbone__options": {"width": 3}},
            "backbone.options = { width = 3 }. Expected: table with no keys",
        ),
        ({"stream__class_order": "sorted"}, None),
    ],
)
def test_one_problem(changes, text):
    found = problems(document(**changes))
    assert len(found) == 1
    assert text is None or found == [text]


def test_names_propose_the_nearest():
    (found,) = problems(document(method__name="fintune"))
    assert found.startswith('method.name = "fintune". Expected: one of ')
    assert found.endswith('Did you mean "finetune"?')


def test_an_unknown_method_hides_no_other_problem_and_invents_none():
    found = problems(document(method__name="nothing like it", method__rank=4, optim__lrr=1))
    assert len(found) == 2
    assert found[1] == "optim.lrr: unknown key. Did you mean optim.lr?"


def test_unknown_and_missing_sections():
    tables = document()
    tables["optimizer"] = {}
    del tables["backbone"]
    assert problems(tables) == [
        "backbone.name: missing. Expected: text",
        "optimizer: unknown key. Did you mean optim?",
    ]


def test_all_problems_at_once():
    found = problems(
        document(run__seeds="0", stream__task_sizes=[5, 5], method__x=1, optim__lr=0, optim__momentum=None)
    )
    assert len(found) == 5
