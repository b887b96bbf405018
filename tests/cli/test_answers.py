import threading

import numpy as np
import pytest

from sdlora.cli.answers import BATCH_SIZES, Unreadable, ask, read_file, tasks_of_classes
from sdlora.learner import Learner

SIZE = BATCH_SIZES["cpu"]


@pytest.fixture(scope="module")
def learner(template):
    return Learner.load(template / "shop", device="cpu")


@pytest.mark.parametrize("count", [0, 1, SIZE - 1, SIZE, SIZE + 1, 3 * SIZE])
def test_every_image_comes_once_and_in_order(count, learner):
    size = learner.image_size
    pixels = np.random.default_rng(0).integers(0, 256, (count, size, size, 3), dtype=np.uint8)

    def read(index):
        return Unreadable("unreadable", f"{index}") if index % 5 == 3 else pixels[index]

    found = list(ask(learner, range(count), read))
    assert [index for index, _ in found] == list(range(count))
    for index, answer in found:
        if index % 5 == 3:
            assert answer == Unreadable("unreadable", f"{index}")
        else:
            np.testing.assert_allclose(answer, learner.predict_proba(pixels[index])[0], atol=1e-6)


def test_a_batch_of_nothing_readable(learner):
    found = list(ask(learner, range(SIZE + 2), lambda index: Unreadable("unreadable", "no")))
    assert len(found) == SIZE + 2


def test_the_next_batch_is_read_meanwhile_and_no_further(learner):
    size = learner.image_size
    read, lock = [], threading.Lock()

    def note(index):
        with lock:
            read.append(index)
        return np.zeros((size, size, 3), np.uint8)

    answers = ask(learner, range(10 * SIZE), note)
    next(answers)
    assert set(range(SIZE)) <= set(read) <= set(range(2 * SIZE))
    answers.close()


def test_a_file_is_told_from_what_is_none(learner, template, tmp_path):
    assert read_file(learner, template / "test/rose/50.png").shape == (learner.image_size,) * 2 + (3,)
    assert read_file(learner, tmp_path / "gone.png") == Unreadable("not_found", "no such file")
    (tmp_path / "a.png").write_bytes(b"hello")
    assert read_file(learner, tmp_path / "a.png") == Unreadable("unreadable", "not an image")
    assert read_file(learner, tmp_path) == Unreadable("unreadable", "is no file")


def test_lessons_of_classes(learner):
    assert tasks_of_classes(learner) == (1, 1, 1, 2, 2)
