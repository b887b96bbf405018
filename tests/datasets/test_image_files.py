import os
import zlib

import numpy as np
import pytest
from pictures import encode, photo

from sdlora.datasets.image_files import ImageFiles, fetch
from sdlora.datasets.images import decode_small
from sdlora.errors import DataError


@pytest.fixture
def files(tmp_path):
    for index in range(6):
        (tmp_path / f"{index}.png").write_bytes(encode(photo(40 + index, 60, seed=index)))
    return ImageFiles(tmp_path, tuple(f"{index}.png" for index in range(6)), shorter_side=20)


def test_images_are_decoded_and_shrunk(files):
    assert len(files) == 6
    for index, name in enumerate(files.names):
        assert np.array_equal(files[index], decode_small(files.root / name, 20))
        assert files[index].shape[0] == 20


def test_fetch_keeps_order_for_every_kind_of_source(files):
    wanted = np.array([4, 0, 4, 2])
    expected = [files[index] for index in wanted]
    array = np.stack([np.resize(files[index], (20, 26, 3)) for index in range(6)])
    for source in (files, [files[index] for index in range(6)]):
        assert all(np.array_equal(a, b) for a, b in zip(fetch(source, wanted), expected, strict=True))
    assert np.array_equal(np.stack(fetch(array, wanted)), array[wanted])


def test_select(files):
    chosen = files.select(np.array([5, 1]))
    assert chosen.names == ("5.png", "1.png")
    assert np.array_equal(chosen[0], files[5])


def test_read_says_what_came_of_it(files):
    good = files.read(1)
    assert good.failure is None
    assert good.checksum == zlib.crc32((files.root / "1.png").read_bytes())
    assert np.array_equal(good.pixels, files[1])
    (files.root / "1.png").write_bytes(b"no image")
    (files.root / "2.png").unlink()
    bad, gone = files.read(1), files.read(2)
    assert (bad.failure, bad.checksum, bad.pixels.size) == (
        "1.png cannot be read: not an image",
        zlib.crc32(b"no image"),
        0,
    )
    assert gone.failure == "2.png cannot be read: no such file or directory"
    with pytest.raises(DataError, match=r"1\.png"):
        files[1]


def test_read_all_is_in_order_and_survives_bad_files(files, monkeypatch):
    monkeypatch.setattr("sdlora.datasets.image_files.WINDOW", 4)
    (files.root / "3.png").write_bytes(b"")
    readings = list(files.read_all())
    assert [reading.failure is None for reading in readings] == [True, True, True, False, True, True]
    assert [reading.pixels.shape for reading in readings] == [files.read(index).pixels.shape for index in range(6)]


def test_key_follows_names_sizes_times_place_and_size_of_the_result(files, tmp_path):
    keys = {files.key()}
    assert files.key() in keys
    keys.add(ImageFiles(files.root, files.names, 21).key())
    keys.add(files.select(np.arange(5)).key())
    os.utime(files.root / "0.png", ns=(1, 1))
    keys.add(files.key())
    (files.root / "0.png").unlink()
    keys.add(files.key())
    keys.add(ImageFiles(tmp_path / "elsewhere", files.names, 20).key())
    assert len(keys) == 6
