import math

import pytest
import torch
from export.taught import taught

from sdlora.export.check import compare, in_batches, logits_check, pictures


def verdict(found, limit=1e-5):
    expected = torch.tensor([[4.0, 1.0, 0.0], [0.0, 2.0, 1.0]])
    return compare(expected, found(expected.clone()), against="x", quantity="logits", limit=limit)


def test_equal_results_pass():
    found = verdict(lambda x: x)
    assert (found.num_images, found.num_same, found.difference, found.passed) == (2, 2, 0.0, True)


def test_a_difference_is_a_fraction_of_the_largest_logit():
    assert verdict(lambda x: x + 4e-4).difference == pytest.approx(1e-4, rel=1e-3)
    assert not verdict(lambda x: x + 4e-4).passed
    assert verdict(lambda x: x + 4e-4, limit=2e-4).passed


def test_another_class_fails_whatever_the_difference():
    found = verdict(lambda x: x[:, [1, 0, 2]], limit=0.3)
    assert found.num_same < 2
    assert not found.passed


def test_classes_nearer_than_the_limit_may_change_places():
    expected = torch.tensor([[1.0, 1.0 + 1e-7]])
    assert compare(expected, expected.flip(1), against="x", quantity="logits", limit=1e-5).passed


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_never_passes(value):
    found = verdict(lambda x: torch.where(x == 4, value, x))
    assert found.difference == math.inf
    assert not found.passed


def test_pictures_are_the_same_at_every_call_and_differ_from_each_other():
    first = pictures(16)
    assert first.dtype == torch.uint8
    assert first.shape == (64, 3, 16, 16)
    assert torch.equal(first, pictures(16))
    assert len(torch.unique(first.flatten(1), dim=0)) == 64
    assert first.float().std(dim=(1, 2, 3)).min() > 5


def test_batches_give_what_one_gives():
    images = pictures(8, 20)
    assert torch.equal(in_batches(lambda x: x.mean(dim=(2, 3)), images), (images.float() / 255).mean(dim=(2, 3)))


def test_a_model_that_is_off_by_a_little_is_found():
    parts = taught()
    backbone = parts.backbone

    def exact(normalised):
        return parts.method(normalised * backbone.std + backbone.mean)

    assert logits_check(parts, exact, against="x", limit=1e-5).passed
    assert not logits_check(parts, lambda images: exact(images) + 1e-3, against="x", limit=1e-5).passed
