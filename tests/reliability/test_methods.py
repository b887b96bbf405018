"""Every registered method passes every check of `checks`."""

from __future__ import annotations

import pytest
from reliability import checks

from sdlora.backbones.vit import load_backbone
from sdlora.methods import METHODS

pytestmark = pytest.mark.slow


@pytest.fixture(params=METHODS.names())
def make_method(request):
    return lambda: METHODS.get(request.param)(load_backbone("untrained_vit"))


def test_there_are_methods_to_check():
    assert len(METHODS.names()) >= 13


def test_r1_resume(make_method, place):
    checks.check_resume(make_method, place)


def test_r8_poison(make_method, place):
    checks.check_poison(make_method, place)


def test_t1_repeats(make_method, place):
    checks.check_repeats(make_method, place)


def test_t2_batching(make_method, place):
    checks.check_batching(make_method, place)


def test_n1_zero_directions(make_method):
    checks.check_zero_directions(make_method)


def test_n2_not_finite(make_method, place):
    checks.check_not_finite(make_method, place)


def test_n3_divergence(make_method, place):
    checks.check_divergence(make_method, place)
