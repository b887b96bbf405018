import numpy as np
import pytest
import torch

from sdlora.datasets.backgrounds import PATTERNS, backgrounds


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", PATTERNS)
def test_a_pattern_blends_within_bounds_and_follows_its_seed(name):
    first, again, other = (PATTERNS[name](5, 32, generator(seed)) for seed in (1, 1, 2))
    assert first.shape == (5, 1, 32, 32)
    assert first.min() >= 0
    assert first.max() <= 1
    assert torch.equal(first, again)
    assert torch.equal(first, other) == (name == "plain")


@pytest.mark.parametrize("name", sorted(set(PATTERNS) - {"plain"}))
def test_a_pattern_shows_both_colours_at_every_size(name):
    for size in (16, 32, 128):
        blend = PATTERNS[name](50, size, generator())
        spread = blend.flatten(1).max(dim=1).values - blend.flatten(1).min(dim=1).values
        assert spread.min() > 0.2, size
        assert 0.1 < blend.mean() < 0.9, size


@pytest.mark.parametrize("name", PATTERNS)
def test_no_pattern_at_all_is_drawn_for_no_image(name):
    assert PATTERNS[name](0, 16, generator()).shape == (0, 1, 16, 16)


def test_backgrounds_vary_and_follow_their_seed():
    first, again, other = (backgrounds(60, 24, generator(seed)) for seed in (1, 1, 2))
    assert first.shape == (60, 3, 24, 24)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.min() >= 0
    assert first.max() <= 1
    num_plain = int((first.flatten(2).std(dim=2).amax(dim=1) < 1e-6).sum())
    assert 2 <= num_plain <= 25  # one in six


def test_contrast_bounds_the_distance_of_the_two_colours():
    def spread(contrast):
        images = backgrounds(100, 24, generator(3), contrast=contrast)
        return np.ptp(images.flatten(2).numpy(), axis=2).mean()

    assert spread(0.0) < 1e-6
    assert spread(0.5) == pytest.approx(spread(1.0) / 2, rel=1e-4)
