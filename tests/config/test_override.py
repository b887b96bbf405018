import pytest

from sdlora.config.override import override, read_override
from sdlora.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("optim.lr=0.01", ("optim", "lr"), 0.01),
        ("run.seeds=[0, 1]", ("run", "seeds"), [0, 1]),
        ("run.device=cpu", ("run", "device"), "cpu"),
        ('run.device="cpu"', ("run", "device"), "cpu"),
        ("run.output_dir=runs/a=b", ("run", "output_dir"), "runs/a=b"),
        ("backbone.options.width=48", ("backbone", "options", "width"), 48),
        ("a.b=1\nc = 2", ("a", "b"), "1\nc = 2"),
        ("a.b=", ("a", "b"), ""),
        ("a.b=" + "[" * 5000, ("a", "b"), "[" * 5000),
    ],
)
def test_values_are_toml_or_else_text(text, path, value):
    assert read_override(text) == (path, value)


@pytest.mark.parametrize("text", ["lr=1", "optim.lr", "optim..lr=1", "=1", "a.b.c.d=1", ""])
def test_anything_else_is_refused(text):
    with pytest.raises(ConfigError, match="is no override"):
        read_override(text)


def test_override_makes_tables_and_replaces_values():
    document = {"run": {"seeds": [0]}, "flat": 3}
    override(document, {("run", "seeds"): [1], ("optim", "lr"): 0.1, ("flat", "x"): 1})
    assert document == {"run": {"seeds": [1]}, "optim": {"lr": 0.1}, "flat": {"x": 1}}


def test_another_method_drops_the_options_of_the_old_one():
    document = {"method": {"name": "sdlora", "rank": 4}, "optim": {"name": "sgd", "momentum": 0.9, "lr": 1.0}}
    override(document, {("method", "head"): 2, ("method", "name"): "probe", ("optim", "name"): "adam"})
    assert document == {"method": {"name": "probe", "head": 2}, "optim": {"name": "adam", "lr": 1.0}}


def test_another_dataset_drops_what_was_said_of_the_old_one():
    document = {"stream": {"dataset": "cub200", "root": "birds", "num_tasks": 5}, "data": {"unreadable": "skip"}}
    override(document, {("stream", "dataset"): "digits", ("data", "flip"): True})
    assert document == {"stream": {"dataset": "digits", "num_tasks": 5}, "data": {"flip": True}}


def test_the_same_method_keeps_its_options():
    document = {"method": {"name": "sdlora", "rank": 4}}
    override(document, {("method", "name"): "sdlora"})
    assert document == {"method": {"name": "sdlora", "rank": 4}}
