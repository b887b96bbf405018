import pytest

from sdlora.config.rules import conflicts
from sdlora.methods.finetune import Finetune
from sdlora.methods.simplecil import SimpleCIL

STREAM = {"dataset": "digits", "num_tasks": 5}
SGD = {"name": "sgd", "lr": 0.1, "momentum": 0.9, "epochs": 1, "batch_size": 8}


class ThreeEpochs(Finetune):
    num_epochs = 3


def found(optim, method=Finetune, stream=STREAM):
    return [str(problem) for problem in conflicts({"stream": stream, "optim": optim}, method)]


def without(table, *keys):
    return {key: value for key, value in table.items() if key not in keys}


def test_nothing_to_say():
    assert found(SGD) == []
    assert found(SGD, None) == []
    assert found({"batch_size": 8}, SimpleCIL) == []
    assert found(without(SGD, "epochs"), ThreeEpochs) == []
    assert found({**without(SGD, "momentum"), "name": "adamw"}) == []


@pytest.mark.parametrize(
    ("optim", "method", "texts"),
    [
        (
            {**SGD, "name": "adam"},
            Finetune,
            ["optim.momentum: would change nothing: adam has no such setting. Fix: leave it out"],
        ),
        (without(SGD, "momentum"), Finetune, ["optim.momentum: missing. Expected: number, 0 or more, below 1"]),
        (without(SGD, "epochs"), Finetune, ["optim.epochs: missing. Expected: integer from 1 to 1000000"]),
        (SGD, ThreeEpochs, ["optim.epochs: would change nothing: the method always takes 3. Fix: leave it out"]),
        (
            {"lr": 1.0, "schedule": "cosine", "batch_size": 8},
            SimpleCIL,
            [
                "optim.lr: would change nothing: the method takes no steps. Fix: leave it out",
                "optim.schedule: would change nothing: the method takes no steps. Fix: leave it out",
            ],
        ),
        (
            {"batch_size": 8, "epochs": 2},
            Finetune,
            [
                'optim.name: missing. Expected: one of "sgd", "adam", "adamw"',
                "optim.lr: missing. Expected: number above 0",
            ],
        ),
    ],
)
def test_optimiser_and_method(optim, method, texts):
    assert found(optim, method) == texts


def test_number_of_tasks_or_their_sizes():
    both, neither = {**STREAM, "task_sizes": [5, 5]}, {"dataset": "digits"}
    assert found(SGD, stream=both) == ["stream.task_sizes: stands beside stream.num_tasks. Expected: one of the two"]
    assert found(SGD, stream=neither) == [
        "stream.num_tasks: missing. Expected: integer, or stream.task_sizes, a list of integers"
    ]


def test_sections_that_are_no_tables_are_left_to_the_check():
    assert next(iter(conflicts({"stream": 3, "optim": []}, None))).path == ("stream", "num_tasks")
