import os
import unicodedata

import numpy as np
import pytest
from pictures import encode, photo, write_classes

from sdlora.datasets.base import DATASETS
from sdlora.datasets.folder import LAYOUT, list_folder
from sdlora.errors import DataError

PICTURE = encode(photo(8, 8))


def problems(root):
    with pytest.raises(DataError) as caught:
        list_folder(root)
    return str(caught.value)


def test_classes_are_sorted_and_a_fifth_of_each_is_held_out(tmp_path):
    listing = list_folder(write_classes(tmp_path, {"tulip": 10, "Rose": 5, "moss": 3}))
    assert listing.classes == ("Rose", "moss", "tulip")
    assert listing.names[0] == "Rose/000.png"
    assert listing.names == tuple(sorted(listing.names))
    assert np.bincount(listing.labels).tolist() == [5, 3, 10]
    assert np.bincount(listing.labels[listing.is_test], minlength=3).tolist() == [1, 0, 2]
    assert listing.notes == ()


def test_train_and_test_parts_are_used_as_they_are(tmp_path):
    write_classes(tmp_path / "train", {"a": 3, "b": 2})
    write_classes(tmp_path / "test", {"b": 4, "a": 1})
    listing = list_folder(tmp_path)
    assert listing.classes == ("a", "b")
    assert [name for name, tested in zip(listing.names, listing.is_test, strict=True) if not tested] == [
        "train/a/000.png",
        "train/a/001.png",
        "train/a/002.png",
        "train/b/000.png",
        "train/b/001.png",
    ]
    assert listing.labels[listing.is_test].tolist() == [0, 1, 1, 1, 1]


def test_train_part_alone_is_divided(tmp_path):
    write_classes(tmp_path / "train", {"a": 5, "b": 5})
    listing = list_folder(tmp_path)
    assert listing.classes == ("a", "b")
    assert listing.is_test.sum() == 2


def test_classes_may_be_called_train_and_test(tmp_path):
    listing = list_folder(write_classes(tmp_path, {"train": 4, "bus": 4, "test": 4}))
    assert listing.classes == ("bus", "test", "train")


def test_other_parts_beside_train_are_not_ignored(tmp_path):
    write_classes(tmp_path / "train", {"a": 5})
    write_classes(tmp_path / "val", {"a": 5})
    assert "has val beside train" in problems(tmp_path)


@pytest.mark.parametrize("suffix", ["jpg", "jpeg", "png", "webp", "bmp", "tif", "tiff", "gif", "JPG", "Png"])
def test_suffixes(tmp_path, suffix):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / f"1.{suffix}").write_bytes(PICTURE)
    assert list_folder(tmp_path).names == (f"a/1.{suffix}",)


def test_what_does_not_count_is_counted(tmp_path):
    write_classes(tmp_path, {"a": 4})
    for folder in (".git", "__MACOSX", "a/nested"):
        (tmp_path / folder).mkdir()
    for file in ("a/.DS_Store", "a/Thumbs.db", "a/._000.png", "README.txt", "stray.png"):
        (tmp_path / file).write_bytes(PICTURE)
    listing = list_folder(tmp_path)
    assert listing.classes == ("a",)
    assert len(listing.names) == 4
    assert listing.others == ()
    assert listing.notes == (
        "left out: files beside the class folders 2, folders within class folders 1, hidden files 3, hidden folders 2",
    )


def test_heic_is_an_image_by_its_name(tmp_path):
    write_classes(tmp_path, {"a": 4})
    (tmp_path / "a" / "photo.HEIC").write_bytes(PICTURE)
    assert "a/photo.HEIC" in list_folder(tmp_path).names


def test_other_files_in_a_class_are_handed_on(tmp_path):
    write_classes(tmp_path, {"a": 4})
    for name in ("photo.avif", "notes.txt", "no_suffix"):
        (tmp_path / "a" / name).write_bytes(PICTURE)
    assert list_folder(tmp_path).others == ("a/no_suffix", "a/notes.txt", "a/photo.avif")


def test_names_are_composed(tmp_path):
    write_classes(tmp_path, {unicodedata.normalize("NFD", "Köln"): 2})
    listing = list_folder(tmp_path)
    assert listing.classes == (unicodedata.normalize("NFC", "Köln"),)
    assert (tmp_path / listing.names[0]).is_file()


def test_one_class_twice(tmp_path):
    write_classes(tmp_path, {unicodedata.normalize(form, "Köln"): 2 for form in ("NFC", "NFD")})
    assert 'the class "Köln" is there twice, written in two ways' in problems(tmp_path)


def test_case_twins(tmp_path):
    write_classes(tmp_path, {"Rose": 2, "rose": 2, "tulip": 2})
    assert '"rose" and "Rose" differ in case only' in problems(tmp_path)


def test_case_twins_between_train_and_test(tmp_path):
    write_classes(tmp_path / "train", {"rose": 2, "tulip": 2})
    write_classes(tmp_path / "test", {"Rose": 2, "tulip": 2})
    message = problems(tmp_path)
    assert '"rose" and "Rose" differ in case only' in message
    assert "has 1 problem:" in message


def test_classes_of_one_part_only(tmp_path):
    write_classes(tmp_path / "train", {"a": 2, "b": 2})
    write_classes(tmp_path / "test", {"a": 2, "c": 2})
    message = problems(tmp_path)
    assert 'class "b" is in train/ and not in test/' in message
    assert 'class "c" is in test/ and not in train/' in message


def test_class_folder_without_an_image(tmp_path):
    write_classes(tmp_path, {"a": 2})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "notes.txt").write_text("")
    (tmp_path / "c").mkdir()
    (tmp_path / "d" / "nested").mkdir(parents=True)
    (tmp_path / "d" / ".hidden").write_text("")
    message = problems(tmp_path)
    assert "has 3 problems" in message
    assert "b has no image (1 other file, such as notes.txt)" in message
    assert "c has no image (it is empty)" in message
    assert "d has no image (1 folder, such as nested)" in message


def test_no_image_at_all(tmp_path):
    assert f"no class with an image in {tmp_path}, it is empty" in problems(tmp_path)
    (tmp_path / "1.png").write_bytes(PICTURE)
    message = problems(tmp_path)
    assert "files beside the class folders 1" in message
    assert message.endswith(f"Expected: {LAYOUT}")


def test_names_that_are_refused(tmp_path):
    write_classes(tmp_path, {"a\x1b[31m": 1, "b" * 201: 1, "line\nbreak": 1})
    message = problems(tmp_path)
    assert "has 3 problems" in message
    assert message.count("must not hold control characters") == 2
    assert "must not be longer than 200 bytes" in message
    assert "\x1b" not in message


def test_undecodable_name_is_refused(tmp_path):
    (tmp_path / os.fsdecode(b"\xff\xfe")).mkdir()
    assert "must not hold control characters" in problems(tmp_path)


def test_links_out_of_the_folder_are_refused_and_others_followed(tmp_path):
    root, outside = tmp_path / "data", tmp_path / "outside"
    write_classes(root, {"a": 2})
    write_classes(outside, {"b": 2})
    (root / "a" / "again.png").symlink_to(root / "a" / "000.png")
    assert len(list_folder(root).names) == 3
    (root / "b").symlink_to(outside / "b")
    (root / "a" / "secret.png").symlink_to(outside / "b" / "000.png")
    message = problems(root)
    assert "b is a link that leads out of the folder" in message
    assert "a/secret.png is a link that leads out of the folder" in message


def test_root_may_be_a_link(tmp_path):
    write_classes(tmp_path / "data", {"a": 2})
    (tmp_path / "link").symlink_to(tmp_path / "data")
    assert list_folder(tmp_path / "link").classes == ("a",)


def test_all_problems_at_once(tmp_path):
    write_classes(tmp_path / "train", {"a": 2, "A": 2, "b": 2, "x\t": 1})
    write_classes(tmp_path / "test", {"a": 2, "c": 2})
    (tmp_path / "test" / "d").mkdir()
    (tmp_path / "test" / "d" / "x.heic").write_bytes(b"")
    assert "has 5 problems" in problems(tmp_path)


def test_registered(tmp_path):
    dataset = DATASETS.get("folder")(write_classes(tmp_path, {"a": 5, "b": 5}), 32)
    assert dataset.name == "folder"
    assert dataset.classes == ("a", "b")
