import threading

import pytest

from sdlora.bundle.lock import writing
from sdlora.errors import BusyError


def test_the_writer_may_enter_again(tmp_path):
    with writing(tmp_path), writing(tmp_path):
        pass
    with writing(tmp_path):
        pass


def test_another_thread_is_refused(tmp_path):
    errors = []

    def enter():
        try:
            with writing(tmp_path):
                pass
        except BusyError as error:
            errors.append(error)

    with writing(tmp_path):
        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
    assert "in use by process" in str(errors[0])


def test_another_name_of_the_folder_is_the_same_folder(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with writing(tmp_path / "real"), writing(tmp_path / "link"):
        pass


def test_what_was_not_begun_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), writing(tmp_path / "new"):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "there").mkdir()
    with writing(tmp_path / "there"):
        pass
    assert (tmp_path / "there").is_dir()


def test_leftovers_of_killed_writers_are_swept(tmp_path):
    (tmp_path / "history").mkdir()
    for left in (tmp_path / ".aa.partial", tmp_path / "history" / ".bb.partial"):
        left.write_bytes(b"half")
    with writing(tmp_path):
        pass
    assert not list(tmp_path.rglob("*.partial"))
