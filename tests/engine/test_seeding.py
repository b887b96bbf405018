"""Every hook draws the same numbers, whatever anyone drew before, and nobody notices that it drew any."""

from __future__ import annotations

import pytest
import torch

from sdlora.engine.seeding import seeded


def draw(*parts):
    with seeded(*parts):
        return torch.rand(4), torch.randperm(9), torch.randn(2)


def equal(first, second):
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_the_same_parts_give_the_same_numbers():
    first = draw(1, 2, "losses")
    torch.manual_seed(99)
    torch.rand(5)
    assert equal(draw(1, 2, "losses"), first)


def test_other_parts_give_other_numbers():
    parts = [(1, 2, "x"), (2, 1, "x"), (12, "x"), (1, 2, "y"), (1, "2", "x"), (1, 2, 0, "x")]
    drawn = [float(draw(*part)[0][0]) for part in parts]
    assert len(set(drawn)) == len(parts)


def test_the_outside_goes_on_as_if_nothing_had_happened():
    torch.manual_seed(5)
    expected = torch.rand(6)
    torch.manual_seed(5)
    first = torch.rand(3)
    draw("inside")
    with pytest.raises(KeyError), seeded("broken"):
        raise_after_drawing()
    assert torch.equal(torch.cat([first, torch.rand(3)]), expected)


def raise_after_drawing():
    torch.rand(1)
    raise KeyError


def test_it_nests():
    with seeded("outer"):
        one = torch.rand(1)
        inner = draw("inner")
        two = torch.rand(1)
    with seeded("outer"):
        assert torch.equal(torch.cat([one, two]), torch.rand(2))
    assert equal(inner, draw("inner"))
