"""Undo and new names; what they do to a model is in test_learn.py."""

import pytest

from sdlora.cli.corrections import check_alone
from sdlora.errors import ConfigError


def test_nothing_else_may_be_asked_for():
    check_alone("--undo", {"--out": None, "--new": False})
    with pytest.raises(ConfigError, match="--max-drop, --new with --undo") as caught:
        check_alone("--undo", {"--out": None, "--max-drop": 0.0, "--new": True})
    assert caught.value.expected == "--undo alone; it teaches nothing"


def test_a_class_gets_one_new_name(sdlora, shop):
    answer = sdlora("learn", "shop", "--rename", "rose=Rosa", "--rename", "rose=Rosen")
    assert answer.code == 2
    assert "--rename rose to Rosa and to Rosen" in answer.err
    assert "rose" in sdlora("inspect", "shop", "--classes").out
