import io
import os
import sys
from pathlib import Path

import pytest

from sdlora.cli.gather import gather
from sdlora.errors import DataError


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Work in a folder with photos/ of every kind of thing."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.JPG", "a.png", "deep/er/c.webp", "deep/d.heic", ".hidden.png", ".cache/e.png", "__MACOSX/f.png"):
        path = Path("photos", name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    Path("photos/notes.txt").touch()
    return tmp_path


def names(*words):
    return [path.as_posix() for path in gather(words)]


def feed(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))


def test_a_folder_stands_for_the_images_in_it_and_below(photos):
    assert names("photos") == ["photos/a.png", "photos/b.JPG", "photos/deep/d.heic", "photos/deep/er/c.webp"]


def test_files_are_taken_as_they_are_named_and_in_that_order(photos):
    assert names("photos/notes.txt", "gone.png", "photos/a.png") == ["photos/notes.txt", "gone.png", "photos/a.png"]


def test_patterns_that_no_shell_expanded(photos):
    assert names("photos/*.png") == ["photos/a.png"]
    assert names("photos/**/*.webp") == ["photos/deep/er/c.webp"]
    Path("photos/odd[1].png").touch()
    assert names("photos/odd[1].png") == ["photos/odd[1].png"]


def test_a_dash_reads_paths(photos, monkeypatch):
    feed(monkeypatch, b"photos/a.png\r\n\nphotos/b.JPG\nphotos/deep\n")
    assert names("-", "photos/notes.txt") == ["photos/a.png", "photos/b.JPG", "photos/deep", "photos/notes.txt"]


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are bytes there")
def test_names_that_are_no_text_survive(photos, monkeypatch):
    feed(monkeypatch, b"photos/\xff.png\n")
    (found,) = gather(["-"])
    assert os.fsencode(found) == b"photos/\xff.png"
    Path(os.fsdecode(b"photos/\xff.png")).touch()
    assert found in gather(["photos"])


def test_a_folder_without_an_image_says_what_it_holds(tmp_path):
    for name in ("notes.txt", "zebra.txt", ".hidden"):
        (tmp_path / name).touch()
    with pytest.raises(DataError) as caught:
        gather([str(tmp_path)])
    assert caught.value.what == f"no image in {tmp_path}/ (2 other files, such as notes.txt)"
    assert str(caught.value.expected).startswith(".jpg .jpeg .png")


def test_a_folder_with_one_other_file(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(DataError, match=r"\(1 other file, such as notes\.txt\)"):
        gather([str(tmp_path)])


def test_an_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError) as caught:
        gather([str(tmp_path / "empty")])
    assert caught.value.what == f"no image in {tmp_path}/empty/"


def test_all_problems_at_once(photos, monkeypatch):
    feed(monkeypatch, b"\n")
    Path("empty").mkdir()
    with pytest.raises(DataError) as caught:
        gather(["photos", "*.bmp", "empty", "-"])
    assert caught.value.what.splitlines() == [
        "3 of 4 arguments name no image:",
        "  no file matches *.bmp",
        "  no image in empty/",
        "  no path on standard input",
    ]


def test_names_cannot_steer_the_terminal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("\x1b[31m").mkdir()
    Path("\x1b[31m/\x1b[5m.txt").touch()
    with pytest.raises(DataError) as caught:
        gather(["\x1b[31m", "\x1b]0;*"])
    assert "\x1b" not in str(caught.value)


def test_a_link_to_the_folder_itself_is_not_followed(photos):
    Path("photos/loop").symlink_to("..", target_is_directory=True)
    assert len(gather(["photos"])) == 4
