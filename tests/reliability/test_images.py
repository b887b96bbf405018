"""I1, I2, I5: what a picture may cost, and what becomes of those that are none."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
from pictures import encode, photo
from PIL import Image
from reliability import worker

from sdlora.bundle import read_config
from sdlora.errors import DataError
from sdlora.learner import Learner

pytestmark = pytest.mark.slow

PICTURE = encode(photo(24, 32))
MOST = 50_000_000  # bytes of memory that a refused file may cost


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, *chunks):
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def zeros(count):
    """Return `count` zero bytes, deflated, without ever holding them."""
    packer = zlib.compressobj(9)
    return b"".join([*(packer.compress(bytes(1_000_000)) for _ in range(count // 1_000_000)), packer.flush()])


def film(frames):
    """Return a GIF of so many frames."""
    first = encode(Image.new("P", (4, 4)), "GIF")
    start = first.index(b",", 13)
    return first[:start] + first[start:-1] * frames + b";"


def profiles(count):
    packed = chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))
    return PICTURE[:33] + packed * count + PICTURE[33:]


def texts(count):
    packed = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(1_000_000), 9))
    return PICTURE[:33] + packed * count + PICTURE[33:]


CASES = {  # bytes, and what is said of them; None for what is read
    "a PNG of 88 million pixels": (png(9400, 9400, chunk(b"IDAT", zeros(9400 * 28201))), "9,400 x 9,400 pixels"),
    "a PNG of a side too long": (png(30_000, 1, chunk(b"IDAT", zeros(1_000_000))), "30,000 x 1 pixels"),
    "a film of 100,000 frames": (film(100_000), None),
    "long text": (texts(100), "cannot be read"),
    "20,000 colour profiles": (profiles(19_000), "more than one colour profile"),
    "PostScript": (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not an image"),
    "Photoshop": (b"8BPS\0\1" + bytes(6) + struct.pack(">HIIHH", 3, 30_000, 30_000, 8, 3) + bytes(100), "not an image"),
    "a film in FLI": (bytes(4) + b"\x12\xaf" + bytes(122), "not an image"),
    "FITS": (b"SIMPLE  =                    T" + b" " * 2850, "not an image"),
    "JPEG 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(200), "not an image"),
    "an icon": (encode(Image.new("RGB", (16, 16)), "ICO"), "not an image"),
    "PDF": (encode(Image.new("RGB", (16, 16)), "PDF"), "not an image"),
}


def test_i2_what_is_refused_costs_next_to_nothing(place, server):
    """Decoded one after another by a process that says how large it has become."""
    for number, (data, _) in enumerate(CASES.values()):
        (place / f"{number}.png").write_bytes(data)
    (place / "good.png").write_bytes(PICTURE)
    ours, theirs = server.Pipe(duplex=False)
    process = server.Process(target=worker.decode_all, args=(place, len(CASES), theirs))
    process.start()
    begin, results = ours.recv()
    process.join()
    assert len(results) == len(CASES)
    for (name, (_, expected)), (said, peak) in zip(CASES.items(), results, strict=True):
        assert (said is None) == (expected is None), (name, said)
        assert expected is None or expected in said, (name, said)
        assert peak - begin < MOST, name


@pytest.fixture
def photos(place):
    """Two hundred pictures of two classes."""
    for name, seed in (("fern", 0), ("moss", 1)):
        (place / "photos" / name).mkdir(parents=True)
        for index in range(100):
            (place / "photos" / name / f"{index:03}.png").write_bytes(encode(photo(12, 12, seed=100 * seed + index)))
    return place / "photos"


def spoil(photos, count):
    names = [f"{name}/{index:03}.png" for name in ("fern", "moss") for index in range(100)][::3][:count]
    kinds = (b"", b"no image", PICTURE[:-30])
    for number, name in enumerate(names):
        (photos / name).write_bytes(kinds[number % 3])
    return names


def test_i5_three_of_two_hundred_stop_a_lesson_or_are_recorded(photos, place):
    names = spoil(photos, 3)
    made = Learner("untrained_vit", method="probe", device="cpu")
    with pytest.raises(DataError, match=r"3 of 200 files in .* are unreadable") as caught:
        made.learn(photos, epochs=1)
    assert all(name in str(caught.value) for name in names)
    assert made.num_tasks == 0
    record = made.learn(photos, epochs=1, skip_unreadable=True)
    assert (record.skipped, record.num_images) == (3, 197)
    made.save(place / "m")
    assert read_config(place / "m").tasks[0].skipped == 3
    assert Learner.load(place / "m", device="cpu").history[0].skipped == 3


def test_i5_of_many_the_first_twenty_are_named(photos):
    names = spoil(photos, 25)
    with pytest.raises(DataError, match="25 of 200 files") as caught:
        Learner("untrained_vit", method="probe", device="cpu").learn(photos, epochs=1)
    assert [name in str(caught.value) for name in names] == [True] * 20 + [False] * 5
    assert "5" in str(caught.value).partition(names[19])[2]


def test_i1_any_bytes_give_pixels_or_a_data_error_in_a_process_of_their_own(place, server):
    """Large files, cut and mixed at random: the process that decodes them lives, and each gets its answer."""
    random = np.random.default_rng(11)
    seeds = [encode(photo(300, 400, seed), kind) for seed in range(3) for kind in ("JPEG", "PNG", "WEBP")]
    for number in range(200):
        one, other = (seeds[place] for place in random.integers(len(seeds), size=2))
        first, second = random.integers(len(one)), random.integers(len(other))
        (place / f"{number}.png").write_bytes(one[:first] + other[second:])
    (place / "good.png").write_bytes(PICTURE)
    ours, theirs = server.Pipe(duplex=False)
    process = server.Process(target=worker.decode_all, args=(place, 200, theirs))
    process.start()
    _, results = ours.recv()
    process.join()
    assert process.exitcode == 0
    assert len(results) == 200
    assert all(said is None or said.startswith(f"{number}.png ") for number, (said, _) in enumerate(results))
