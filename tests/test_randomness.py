import random

import numpy as np
import pytest
import torch

from sdlora.randomness import hash_key, permutation, random_bits, uniforms


def test_key_depends_on_every_part_its_type_and_its_place():
    keys = [hash_key(*parts) for parts in [(), (1,), ("1",), (1, 2), (2, 1), (12,), ("a", 1), ("a1",), (-1,), (1, 0)]]
    assert len(set(keys)) == len(keys)
    assert all(0 <= key < 2**64 for key in keys)


def test_numbers_never_change():
    """Streams, splits and crops of every release rest on these."""
    assert hash_key("order", 1, 2) == 0x3E16F0C8F303A79D
    assert random_bits(0, np.arange(2), 2).tolist() == [
        [0xA706DD2F4D197E6F, 0xB382A305F4414F5E],
        [0x46B73E79F0C37C00, 0x374327C63D0CC8A6],
    ]
    assert permutation(5, 10).tolist() == [8, 5, 1, 2, 6, 4, 9, 7, 3, 0]


def test_bits_are_those_of_splitmix64():
    """Slow and plain, as published: state += golden ratio, then the finaliser."""

    def mix(z):
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        return z ^ (z >> 31)

    golden = 0x9E3779B97F4A7C15
    key = hash_key("oracle")
    for item in (0, 1, 17, 2**40):
        state = mix((key + golden * (item + 1)) % 2**64)
        expected = [mix((state + golden * number) % 2**64) for number in (1, 2, 3)]
        assert random_bits(key, np.array([item]), 3)[0].tolist() == expected


def test_a_number_depends_on_key_item_and_place_alone():
    many = uniforms(3, np.arange(100), 6)
    assert np.array_equal(uniforms(3, np.array([42, 7]), 6), many[[42, 7]])
    assert np.array_equal(uniforms(3, np.arange(100), 2), many[:, :2])
    assert not np.isin(uniforms(4, np.arange(100), 6), many).any()


def test_global_generators_are_neither_used_nor_moved():
    def states():
        return random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()

    before = states()
    first = uniforms(1, np.arange(5), 2).tolist(), permutation(1, 5).tolist()
    assert states() == before
    with torch.random.fork_rng():
        for noise in (random.seed, np.random.seed, torch.manual_seed):
            noise(1)
        assert (uniforms(1, np.arange(5), 2).tolist(), permutation(1, 5).tolist()) == first


@pytest.mark.parametrize("axis", ["items", "places", "keys"])
def test_numbers_are_uniform_and_independent_of_their_neighbours(axis):
    if axis == "items":
        numbers = uniforms(9, np.arange(200_000), 1)[:, 0]
    elif axis == "places":
        numbers = uniforms(9, np.arange(1), 200_000)[0]
    else:
        numbers = np.array([uniforms(hash_key("seed", seed), np.arange(1), 1)[0, 0] for seed in range(20_000)])
    count = len(numbers)
    cells = np.bincount((numbers * 100).astype(int), minlength=100)
    assert ((cells - count / 100) ** 2 / (count / 100)).sum() < 164  # chi-squared, 99 degrees: 1 in 25,000
    assert 0 <= numbers.min() < 1e-3 * 200_000 / count
    assert 1 - 1e-3 * 200_000 / count < numbers.max() < 1
    for lag in (1, 2, 7):
        assert abs(np.corrcoef(numbers[:-lag], numbers[lag:])[0, 1]) < 4.5 / count**0.5


def test_permutation_is_one_and_uniform():
    assert sorted(permutation(1, 1000).tolist()) == list(range(1000))
    assert permutation(1, 0).tolist() == []
    orders = np.array([permutation(hash_key(seed), 6) for seed in range(6000)])
    cells = np.array([np.bincount(column, minlength=6) for column in orders.T])
    assert ((cells - 1000) ** 2 / 1000).sum() < 65  # chi-squared, 25 degrees of freedom: 1 in 50,000
