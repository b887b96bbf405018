import sys

import numpy as np
import pytest
from pictures import encode, photo

from sdlora.datasets import heic
from sdlora.datasets.images import FORMATS, SUFFIXES, decode
from sdlora.errors import DataError


@pytest.fixture(scope="module")
def data():
    assert heic.register()
    return encode(photo(60, 80), "HEIF", quality=95)


def test_it_is_told_by_its_content(data):
    assert heic.is_heic(data)
    assert not heic.is_heic(encode(photo(6, 8)))
    assert not heic.is_heic(encode(photo(6, 8), "AVIF"))
    assert not heic.is_heic(b"")
    assert set(heic.SUFFIXES) < set(SUFFIXES)


def test_it_is_decoded_like_any_other(data):
    found = decode(data)
    assert found.shape == (60, 80, 3)
    assert np.abs(found.astype(int) - photo(60, 80)).mean() < 6


def test_a_cut_one_is_refused_at_every_twentieth(data):
    for twentieth in range(20):
        with pytest.raises(DataError, match="photo"):
            decode(data[: len(data) * twentieth // 20], name="photo")


@pytest.mark.filterwarnings("ignore")
def test_any_bytes_give_pixels_or_a_data_error(data):
    random = np.random.default_rng(11)
    refused = 0
    for _ in range(300):
        mutated = bytearray(data)
        for _ in range(random.integers(1, 6)):
            mutated[random.integers(16, len(mutated))] = random.integers(256)
        try:
            assert decode(bytes(mutated), name="mutated").shape[2] == 3
        except DataError as error:
            refused += "mutated" in str(error)
    assert refused > 10


def test_where_it_is_not_accepted_the_message_says_so(data):
    with pytest.raises(DataError, match=r"a\.heic cannot be read: HEIC is not accepted here\nFix: convert"):
        decode(data, name="a.heic", formats=("JPEG", "PNG"))


def test_without_the_package_the_message_names_it(data, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    heic.register.cache_clear()
    try:
        with pytest.raises(DataError, match=r'Fix: pip install "sdlora\[heic\]", or convert it to JPEG'):
            decode(data, name="a.heic")
        assert heic.FORMAT in FORMATS
        assert decode(encode(photo(6, 8))).shape == (6, 8, 3)
    finally:
        heic.register.cache_clear()
