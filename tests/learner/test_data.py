import tempfile
from pathlib import Path

import numpy as np
import pytest
from lessons import Stripes, write_stripes
from pictures import encode, photo, write_classes

from sdlora.errors import DataError
from sdlora.learner.data import check_names, opened


def read(data, **options):
    with opened(data, 16, **options) as images:
        return images, [images.images[index].copy() for index in range(len(images))]


def test_a_folder_a_list_and_a_dataset_give_the_same_images(tmp_path):
    write_stripes(tmp_path / "photos", (0, 1))
    paths = sorted((tmp_path / "photos").rglob("*.png"))
    lines = [f"{path.relative_to(tmp_path)},{path.parent.name}" for path in paths]
    (tmp_path / "list.csv").write_text("path,label\n" + "\n".join(lines) + "\n\n", encoding="utf-8-sig")
    absolute = [f"{path},{path.parent.name}" for path in paths]
    (tmp_path / "absolute.csv").write_text("Path, Label\n" + "\n".join(absolute))
    found = [
        read(data) for data in (tmp_path / "photos", tmp_path / "list.csv", tmp_path / "absolute.csv", Stripes((0, 1)))
    ]
    for images, pixels in found:
        assert images.classes == ("stripes 0", "stripes 1")
        assert np.array_equal(images.labels, found[0][0].labels)
        assert np.array_equal(pixels, found[0][1])
        assert images.is_test is None


def test_parts_for_testing_are_told(tmp_path):
    write_classes(tmp_path / "train", {"a": 3, "b": 2})
    write_classes(tmp_path / "test", {"a": 1, "b": 1})
    images, _ = read(tmp_path)
    assert images.is_test.sum() == 2
    assert len(images.for_testing()) == 2
    assert len(read(write_classes(tmp_path / "plain", {"train": 1, "test": 2}))[0].for_testing()) == 3


def test_decoded_pixels_do_not_outlive_the_block(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    (tmp_path / "tmp").mkdir()
    with opened(write_classes(tmp_path / "data", {"a": 2, "b": 2}), 16):
        assert list((tmp_path / "tmp").rglob("*.pixels"))
    assert list((tmp_path / "tmp").iterdir()) == []


def test_i5_unreadable_files_stop_or_are_recorded(tmp_path):
    write_classes(tmp_path, {"a": 4, "b": 4})
    (tmp_path / "a" / "cut.png").write_bytes(encode(photo(8, 8))[:50])
    (tmp_path / "b" / "notes.txt").write_text("x")
    with pytest.raises(
        DataError, match=r"(?s)2 of 10 files in .* are unreadable:.*cut\.png.*notes\.txt.*--skip-unreadable"
    ):
        read(tmp_path)
    images, _ = read(tmp_path, skip_unreadable=True)
    assert len(images) == 8
    assert set(images.skipped) == {"a/cut.png", "b/notes.txt"}


def test_a_class_without_a_readable_image_is_an_error(tmp_path):
    write_classes(tmp_path, {"a": 2})
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "bad.png").write_bytes(b"x")
    with pytest.raises(DataError, match="classes without a readable image:\n  b"):
        read(tmp_path, skip_unreadable=True)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", 'the first line of .* is ""'),
        ("a.png,rose\n", 'the first line of .* is "a.png,rose"'),
        ("path,label\n", "lists no images"),
        ("path,label\na.png\nb.png,x,y\n", r"(?s)line 2 has 1 fields.*line 3 has 3 fields"),
        ("path,label\na.png,../x\n", "holds a path separator"),
        ("path,label\na.png,\n", "is no name"),
        ("path,label\nnowhere.png,rose\n", "nowhere.png"),
    ],
)
def test_what_a_list_must_be(tmp_path, text, reason):
    (tmp_path / "list.csv").write_text(text)
    with pytest.raises(DataError, match=reason):
        read(tmp_path / "list.csv")


def test_what_is_no_data_is_told(tmp_path):
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "a.jpg").write_bytes(b"")
    (tmp_path / "data.txt").write_text("")
    with pytest.raises(DataError, match="has images but no class folders"):
        read(tmp_path / "loose")
    with pytest.raises(DataError, match="is neither a folder nor a CSV file"):
        read(tmp_path / "data.txt")
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "nowhere")
    with pytest.raises(DataError, match="an object of type list is no labelled data"):
        read([1, 2])


def test_a_dataset_must_agree_with_its_classes():
    class Wrong(Stripes):
        def __getitem__(self, index):
            return super().__getitem__(index)[0], index

    with pytest.raises(DataError, match="labels from 0 to 15 for 2 classes"):
        read(Wrong((0, 1)))


def test_names_without_images_are_left_out():
    class Subset(Stripes):
        def __len__(self):
            return 8

    images, _ = read(Subset((3, 1)))
    assert images.classes == ("stripes 3",)


def test_names_are_checked_all_at_once():
    check_names(("rose", "tulip"))
    with pytest.raises(DataError, match=r'(?s)"a/b" holds.*"Rose" and "rose" differ in case only'):
        check_names(("rose", "Rose", "a/b"))


def test_the_name_of_data_holds_no_path(tmp_path):
    assert read(write_classes(tmp_path / "deep" / "photos", {"a": 1, "b": 1}))[0].name == "photos"
    assert Path(read(write_stripes(tmp_path / "x", (0, 1)))[0].name).parts == ("x",)


def test_a_dataset_is_called_by_its_name_or_its_type():
    class Named(Stripes):
        name = "a camera\n" + 90 * "x"

    with opened(Stripes((0, 1)), 16) as images:
        assert images.name == "Stripes"
    with opened(Named((0, 1)), 16) as images:
        assert images.name == "a camera\\n" + 70 * "x"


def test_a_table_is_called_by_its_file(tmp_path):
    write_stripes(tmp_path / "data", (0,))
    (tmp_path / "spring.csv").write_text("path,label\ndata/stripes 0/000.png,a\n")
    with opened(tmp_path / "spring.csv", 16) as images:
        assert images.name == "spring.csv"


def test_a_folder_of_lessons_is_told_from_a_lesson(tmp_path):
    write_classes(tmp_path / "p" / "first week", {"a": 2, "b": 2})
    write_classes(tmp_path / "p" / "second", {"c": 2, "d": 2})
    with pytest.raises(DataError, match="holds folders of class folders: first week, second") as caught:
        read(tmp_path / "p")
    assert caught.value.fix == f"name one of them, such as '{tmp_path}/p/first week'"
    write_classes(tmp_path / "p", {"rose": 2})
    with pytest.raises(DataError, match=r"first week has no image \(2 folders, such as a\)"):
        read(tmp_path / "p")
