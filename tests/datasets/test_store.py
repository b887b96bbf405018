import errno
import os
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import numpy as np
import pytest
from pictures import encode, photo

from sdlora.datasets import image_files, store
from sdlora.datasets.image_files import ImageFiles
from sdlora.datasets.store import PackedImages, survey
from sdlora.errors import DataError, StorageError

GIB = 2**30


@pytest.fixture
def files(tmp_path):
    root = tmp_path / "data"
    root.mkdir()
    for index in range(9):
        (root / f"{index}.jpg").write_bytes(encode(photo(50 + 3 * index, 70, seed=index), "JPEG"))
    return ImageFiles(root, tuple(f"{index}.jpg" for index in range(9)), shorter_side=32)


@pytest.fixture
def cache(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def decoded(monkeypatch):
    """Names of the files decoded since."""
    names = []
    real = image_files.decode_small
    monkeypatch.setattr(image_files, "decode_small", lambda *a, name: names.append(name) or real(*a, name=name))
    return names


def entry(cache):
    (folder,) = cache.iterdir()
    return folder


def test_cache_holds_the_decoded_pixels(files, cache, monkeypatch):
    monkeypatch.setattr(store, "SHARD_BYTES", 10_000)
    found = survey(files, cache, GIB)
    assert isinstance(found.images, PackedImages)
    assert len(found.images.shards) > 2
    assert len(found.images) == 9
    for index in range(9):
        assert np.array_equal(found.images[index], files[index])
        assert found.checksums[index] == files.read(index).checksum
    assert found.failures == {}
    assert found.note is None


def test_second_survey_decodes_nothing(files, cache, decoded):
    first = survey(files, cache, GIB)
    assert len(decoded) == 9
    second = survey(files, cache, GIB)
    assert len(decoded) == 9
    assert np.array_equal(second.images.table, first.images.table)
    assert np.array_equal(second.checksums, first.checksums)


def test_changed_file_is_decoded_anew(files, cache):
    survey(files, cache, GIB)
    (files.root / "4.jpg").write_bytes(encode(photo(64, 64, seed=99), "JPEG"))
    assert np.array_equal(survey(files, cache, GIB).images[4], files[4])


def test_over_budget_images_are_decoded_on_demand(files, cache, decoded):
    room = sum(files[index].size for index in range(9))
    decoded.clear()
    found = survey(files, cache, room - 1)
    assert found.images is files
    assert found.note.startswith("images are decoded each time they are seen: their pixels take more than")
    assert not list(entry(cache).glob("*.pixels"))
    assert survey(files, cache, room - 1).images is files
    assert len(decoded) == 9  # the second survey remembered
    assert isinstance(survey(files, cache, room).images, PackedImages)


def test_half_of_the_free_disk_is_left(files, cache, monkeypatch):
    monkeypatch.setattr(store.shutil, "disk_usage", lambda path: SimpleNamespace(free=20_000))
    found = survey(files, cache, GIB)
    assert found.images is files


def test_failures_are_remembered_until_mended(files, cache, decoded):
    good = (files.root / "2.jpg").read_bytes()
    (files.root / "2.jpg").write_bytes(good[: len(good) // 2])
    found = survey(files, cache, GIB)
    assert list(found.failures) == [2]
    assert found.failures[2].startswith("2.jpg cannot be read: ")
    assert np.array_equal(found.images[8], files[8])
    decoded.clear()
    assert survey(files, cache, GIB).failures == found.failures
    assert decoded == ["2.jpg"]
    times = os.stat(files.root / "2.jpg")
    (files.root / "2.jpg").write_bytes(encode(photo(8, 8), "JPEG", quality=10).ljust(times.st_size, b"\0"))
    os.utime(files.root / "2.jpg", ns=(times.st_atime_ns, times.st_mtime_ns))
    mended = survey(files, cache, GIB)
    assert mended.failures == {}
    assert np.array_equal(mended.images[2], files[2])


def test_without_a_place_for_the_cache_images_are_decoded_on_demand(files, tmp_path):
    (tmp_path / "file").write_text("no folder")
    found = survey(files, tmp_path / "file", GIB)
    assert found.images is files
    assert "images are decoded each time they are seen: cannot write" in found.note
    assert found.checksums.tolist() == [files.read(index).checksum for index in range(9)]


@pytest.mark.parametrize("call", [1, 2, 3, "index"])
def test_a_full_disk_costs_the_cache_and_nothing_else(files, cache, call, monkeypatch):
    monkeypatch.setattr(store, "SHARD_BYTES", 10_000)
    written = []

    def refuse_at(real, number):
        def write(path, data):
            written.append(path)
            if len(written) == number:
                raise StorageError.from_os_error(OSError(errno.ENOSPC, "No space left on device"), path)
            real(path, data)

        return write

    if call == "index":
        monkeypatch.setattr(store, "write_tensors", refuse_at(store.write_tensors, 1))
    else:
        monkeypatch.setattr(store, "write_atomic", refuse_at(store.write_atomic, call))
    found = survey(files, cache, GIB)
    assert found.images is files
    assert "no space left" in found.note
    assert list(cache.iterdir()) == []


def test_a_half_built_cache_is_none(files, cache, monkeypatch):
    monkeypatch.setattr(store, "SHARD_BYTES", 10_000)
    monkeypatch.setattr(store, "write_tensors", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        survey(files, cache, GIB)
    assert list(entry(cache).glob("*.pixels"))
    monkeypatch.undo()
    found = survey(files, cache, GIB)
    assert all(np.array_equal(found.images[index], files[index]) for index in range(9))


def test_a_short_shard_is_noticed_and_built_again(files, cache, decoded):
    survey(files, cache, GIB)
    (shard,) = entry(cache).glob("*.pixels")
    os.truncate(shard, shard.stat().st_size - 1)
    decoded.clear()
    found = survey(files, cache, GIB)
    assert len(decoded) == 9
    assert np.array_equal(found.images[8], files[8])


def test_a_damaged_index_is_none(files, cache, decoded):
    survey(files, cache, GIB)
    index = entry(cache) / store.INDEX
    index.write_bytes(index.read_bytes()[:-3])
    decoded.clear()
    assert isinstance(survey(files, cache, GIB).images, PackedImages)
    assert len(decoded) == 9


def test_a_flipped_bit_is_named_when_its_image_is_read(files, cache):
    survey(files, cache, GIB)
    (shard,) = entry(cache).glob("*.pixels")
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 1
    shard.write_bytes(data)
    images = survey(files, cache, GIB).images
    refused = []
    for index in range(9):
        try:
            images[index]
        except DataError as error:
            refused.append(str(error))
    assert len(refused) == 1
    assert f"the image cache {entry(cache)} is damaged\nFix: rm -r" in refused[0]


def test_images_may_be_written_to_without_touching_the_cache(files, cache):
    images = survey(files, cache, GIB).images
    images[0][:] = 0
    assert np.array_equal(survey(files, cache, GIB).images[0], files[0])


def test_select(files, cache):
    chosen = survey(files, cache, GIB).images.select(np.array([7, 3]))
    assert len(chosen) == 2
    assert np.array_equal(chosen[0], files[7])
    assert np.array_equal(chosen[1], files[3])


def test_no_files_at_all(tmp_path, cache):
    found = survey(ImageFiles(tmp_path, (), 32), cache, GIB)
    assert len(found.images) == 0


def test_two_at_once_decode_once(files, cache, decoded):
    with ThreadPoolExecutor(2) as threads:
        found = list(threads.map(lambda _: survey(files, cache, GIB), range(2)))
    assert len(decoded) == 9
    for one in found:
        assert all(np.array_equal(one.images[index], files[index]) for index in range(9))
