import inspect
import tempfile
from pathlib import Path
from typing import get_type_hints

import numpy as np
import pytest
from pictures import encode, photo, write_classes

from sdlora.datasets.base import DATASETS
from sdlora.datasets.images import decode, shrink
from sdlora.datasets.listing import cache_folder, check_count, itemised, leaves_root
from sdlora.datasets.store import PackedImages
from sdlora.errors import ConfigError, DataError

ON_DISK = ("cifar100", "cub200", "domainnet", "folder", "imagenet_a", "imagenet_r")
FETCHED = ("emoji100",)  # on disk too, by a command that the error names: test_emoji.py
load = DATASETS.get("folder")


@pytest.mark.parametrize("name", ON_DISK)
def test_a_dataset_that_is_not_there_prints_its_layout(name, tmp_path):
    for root, shown in ((tmp_path / "nowhere", str(tmp_path / "nowhere")), (None, f"data/{name}")):
        with pytest.raises(DataError) as caught:
            DATASETS.get(name)(root, 32)
        what, expected, fix = str(caught.value).splitlines()
        assert what == f"{name} is not at {shown}"
        assert expected.startswith("Expected: FOLDER/")
        assert fix == "Fix: put it there, or stream.root=FOLDER"


@pytest.mark.parametrize("name", ["cifar100", "cub200", "domainnet"])
def test_an_empty_folder_is_no_dataset_either(name, tmp_path):
    with pytest.raises(DataError, match=f"{name} is not at"):
        DATASETS.get(name)(tmp_path, 32)


def test_default_root_is_used(tmp_path):
    write_classes(Path("data/folder"), {"rose": 5, "tulip": 5})
    assert load(None, 16).classes == ("rose", "tulip")


def test_options_are_keywords_with_types():
    """Recipes are checked against this signature."""
    hints = get_type_hints(load)
    keywords = [p for p in inspect.signature(load).parameters.values() if p.kind is p.KEYWORD_ONLY]
    assert {p.name: p.default for p in keywords} == {"unreadable": "stop", "cache_gib": 16.0, "cache_dir": None}
    assert hints["cache_gib"] is float


def test_pixels_are_the_files(tmp_path):
    root = write_classes(tmp_path / "flowers", {"rose": 5, "tulip": 10}, size=(40, 60))
    dataset = load(root, 28)
    assert isinstance(dataset.train.images, PackedImages)
    known = {bytes(shrink(decode(path), 32)): path.parent.name for path in root.glob("*/*.png")}
    seen = []
    for split in (dataset.train, dataset.test):
        for index, label in enumerate(split.labels):
            image = split.images[index]
            assert image.shape == (32, 48, 3)
            assert known[bytes(image)] == dataset.classes[label]
            seen.append(bytes(image))
    assert len(seen) == len(set(seen)) == 15
    assert np.bincount(dataset.test.labels).tolist() == [1, 2]


def test_same_pixels_with_and_without_a_cache(tmp_path):
    root = write_classes(tmp_path / "flowers", {"rose": 6, "tulip": 6}, size=(40, 60))
    on_demand, cached = load(root, 28, cache_gib=0.0), load(root, 28)
    assert isinstance(cached.train.images, PackedImages)
    assert not isinstance(on_demand.train.images, PackedImages)
    assert any("decoded each time" in note for note in on_demand.notes)
    assert cached.train.digest == on_demand.train.digest
    for index in range(len(cached.train.labels)):
        assert np.array_equal(cached.train.images[index], on_demand.train.images[index])


def test_cache_goes_where_it_is_told(tmp_path):
    root = write_classes(tmp_path / "flowers", {"rose": 4, "tulip": 4})
    load(root, 16, cache_dir=str(tmp_path / "here"))
    assert list((tmp_path / "here").glob("*/*.pixels"))
    assert not cache_folder().exists()


def test_cache_folder_follows_the_environment(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_folder() == Path("/elsewhere/sdlora/images")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_folder() == Path("/home/someone/.cache/sdlora/images")

    def homeless():
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder() == Path(tempfile.gettempdir()) / "sdlora/images"


def test_digest_follows_contents_and_not_the_place(tmp_path):
    first, second = (write_classes(tmp_path / name, {"rose": 5, "tulip": 5}) for name in ("one", "two"))
    assert load(first, 16).train.digest == load(second, 16).train.digest
    (second / "rose" / "001.png").write_bytes(encode(photo(12, 16, seed=77)))
    changed = load(second, 16)
    assert (changed.train.digest, changed.test.digest) != (load(first, 16).train.digest, load(first, 16).test.digest)
    (second / "rose" / "001.png").rename(second / "rose" / "001b.png")
    assert load(second, 16).train.digest != changed.train.digest


def broken(tmp_path, count=3):
    root = write_classes(tmp_path / "flowers", {"moss": 100, "rose": 100})
    for index in range(count):
        path = root / "rose" / f"{index:03}.png"
        path.write_bytes(path.read_bytes()[:60])
    (root / "moss" / "notes.txt").write_text("no image")
    return root


def test_unreadable_files_stop_with_their_count_and_names(tmp_path):
    with pytest.raises(DataError) as caught:
        load(broken(tmp_path), 16)
    lines = str(caught.value).splitlines()
    assert lines[0] == "folder: 4 of 201 files cannot be used:"
    assert [line.split()[0] for line in lines[1:5]] == [
        "rose/000.png",
        "rose/001.png",
        "rose/002.png",
        "moss/notes.txt",
    ]
    assert lines[5] == 'Fix: mend or remove them, or data.unreadable="skip"'


def test_twenty_of_many_unreadable_files_are_named(tmp_path):
    with pytest.raises(DataError) as caught:
        load(broken(tmp_path, count=30), 16)
    lines = str(caught.value).splitlines()
    assert lines[0] == "folder: 31 of 201 files cannot be used:"
    assert sum("rose/" in line for line in lines) == 20
    assert lines[21] == "  and 11 more"


def test_unreadable_files_are_skipped_and_reported_when_told_so(tmp_path):
    dataset = load(broken(tmp_path), 16, unreadable="skip")
    assert "skipped 4 unreadable files (rose/000.png, rose/001.png, rose/002.png, ...)" in dataset.notes
    assert len(dataset.train.labels) + len(dataset.test.labels) == 197
    for split in (dataset.train, dataset.test):
        assert all(split.images[index].size for index in range(len(split.labels)))


def test_skipping_moves_no_other_image_between_train_and_test(tmp_path):
    root = write_classes(tmp_path / "flowers", {"moss": 20, "rose": 20})
    whole = load(root, 16)
    tested = {bytes(whole.test.images[index]) for index in range(len(whole.test.labels))}
    (root / "moss" / "003.png").write_bytes(b"")
    rest = load(root, 16, unreadable="skip")
    assert {bytes(rest.test.images[index]) for index in range(len(rest.test.labels))} <= tested
    assert len(rest.train.labels) + len(rest.test.labels) == 39


def test_itemised_names_the_first_and_counts_the_others():
    assert str(itemised("what:", ["a", "b"], fix="mend")) == "what:\n  a\n  b\nFix: mend"
    assert str(itemised("what:", list("x" * 23))).splitlines()[-2:] == ["  x", "  and 3 more"]


def test_check_count():
    check_count("cub200", "classes", 200, 200)
    with pytest.raises(DataError, match="cub200 has 150 classes\nExpected: 200\nFix: unpack the whole archive again"):
        check_count("cub200", "classes", 150, 200)


@pytest.mark.parametrize("name", ["/etc/passwd", "../x.jpg", "a/../../x.jpg", "a\\..\\x", "a\0b"])
def test_paths_out_of_the_folder(name):
    assert leaves_root(name)


@pytest.mark.parametrize("name", ["a/b.jpg", "a..b/c..jpg", "The_Mona_Lisa/1.jpg"])
def test_paths_in_the_folder(name):
    assert not leaves_root(name)


@pytest.mark.parametrize("name", sorted(set(DATASETS.names()) - {*ON_DISK, *FETCHED}))
def test_what_is_made_here_takes_no_folder(name, tmp_path):
    with pytest.raises(ConfigError, match=f"stream.root would change nothing: {name} reads no folder"):
        DATASETS.get(name)(tmp_path, 32)
