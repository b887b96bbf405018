import pytest
from pydantic import ValidationError

from sdlora.config.schema import AnyMethod, OptimSection, OrderFile, RunSection, StepsSection, StreamSection

RUN = {"seeds": (0,), "output_dir": "runs/x"}
STREAM = {"dataset": "digits"}


@pytest.mark.parametrize("device", ["auto", "cpu", "cuda", "cuda:0", "cuda:15", "mps"])
def test_devices(device):
    assert RunSection(**RUN, device=device).device == device


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu ", "CUDA", ""])
def test_no_devices(device):
    with pytest.raises(ValidationError):
        RunSection(**RUN, device=device)


@pytest.mark.parametrize(
    "change",
    [
        {"seeds": ()},
        {"seeds": (-1,)},
        {"seeds": (2**32,)},
        {"seeds": (1.0,)},
        {"seeds": (3, 3)},
        {"output_dir": ""},
        {"precision": "float16"},
        {"checkpoint_seconds": -1.0},
        {"deterministic": 1},
        {"eval_batch_size": 0},
        {"unknown": 1},
    ],
)
def test_a_run_is_strict(change):
    with pytest.raises(ValidationError):
        RunSection(**{**RUN, **change})


@pytest.mark.parametrize("order", ["seed", "given", 0, 2**32 - 1, ("b", "a"), OrderFile(file="order.txt")])
def test_class_orders(order):
    assert StreamSection(**STREAM, class_order=order).class_order == order


@pytest.mark.parametrize("order", ["sorted", -1, 1.0, ("a", 1), True, {"file": ""}, {"numpy_seed": -1}])
def test_no_class_orders(order):
    with pytest.raises(ValidationError):
        StreamSection(**STREAM, class_order=order)


def test_tables_within_a_section():
    assert StreamSection(**STREAM, class_order={"numpy_seed": 1993}).class_order.numpy_seed == 1993
    steps = OptimSection(batch_size=1, schedule={"epochs": (10, 15), "factor": 0.05}).schedule
    assert steps == StepsSection(epochs=(10, 15), factor=0.05)


@pytest.mark.parametrize(
    "change", [{"lr": 0.0}, {"lr": float("inf")}, {"momentum": 1.0}, {"weight_decay": -0.1}, {"batch_size": 0},
               {"epochs": 0}, {"clip_norm": 0.0}, {"schedule": {"epochs": (), "factor": 0.1}}, {"schedule": "linear"}]
)  # fmt: skip
def test_training_is_strict(change):
    with pytest.raises(ValidationError):
        OptimSection(**{"batch_size": 8, **change})


def test_sections_are_frozen_and_a_stand_in_takes_anything():
    with pytest.raises(ValidationError):
        RunSection(**RUN).device = "cpu"
    assert AnyMethod(name="x", rank=3).model_dump() == {"name": "x"}
