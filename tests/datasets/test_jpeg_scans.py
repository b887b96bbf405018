import numpy as np
import pytest
from pictures import encode, photo
from PIL import Image

from sdlora.datasets.images import decode
from sdlora.datasets.jpeg_scans import MAX_SCANS, has_too_many_scans
from sdlora.errors import DataError

PROGRESSIVE = encode(photo(48, 64), "JPEG", progressive=True)
LAST_SCAN = PROGRESSIVE[PROGRESSIVE.rindex(b"\xff\xda") : -2]
NUM_SCANS = PROGRESSIVE.count(b"\xff\xda")


def repeated(times):
    return PROGRESSIVE[:-2] + LAST_SCAN * times + PROGRESSIVE[-2:]


def test_what_encoders_write_is_within_the_limit():
    assert 1 < NUM_SCANS < MAX_SCANS
    assert not has_too_many_scans(PROGRESSIVE)
    assert not has_too_many_scans(encode(photo(48, 64), "JPEG"))


def test_the_limit_is_exact_and_an_error():
    assert not has_too_many_scans(repeated(MAX_SCANS - NUM_SCANS))
    decode(repeated(MAX_SCANS - NUM_SCANS))
    assert has_too_many_scans(repeated(MAX_SCANS - NUM_SCANS + 1))
    with pytest.raises(DataError, match=r"slow\.jpg paints its picture more than 64 times"):
        decode(repeated(100_000), name="slow.jpg")


def test_a_film_behind_the_picture_does_not_count():
    assert not has_too_many_scans(PROGRESSIVE + b"\xff\xda\0\0" * 1000)


def test_a_thumbnail_in_the_metadata_does_not_count():
    exif = Image.Exif()
    exif[0x010E] = "\xda".encode("latin-1") * 3
    data = encode(photo(48, 64), "JPEG", exif=exif.tobytes() + b"\xff\xda" * 500)
    assert data.count(b"\xff\xda") > 500
    assert not has_too_many_scans(data)


def test_any_bytes_have_an_answer():
    random = np.random.default_rng(3)
    for _ in range(200):
        assert has_too_many_scans(random.bytes(300)) in (True, False)
    assert not has_too_many_scans(b"")
    assert not has_too_many_scans(b"\xff\xd8\xff\xda")
