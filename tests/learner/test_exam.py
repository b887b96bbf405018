import pytest
from lessons import Stripes, learner, write_stripes

from sdlora.errors import DataError
from sdlora.learner.data import opened
from sdlora.learner.exam import Exam


@pytest.fixture
def made():
    return learner("probe", (0, 1), (2, 3), (4, 5))


def exam(made, data):
    with opened(data, made.image_size) as images:
        return Exam.sat_by(made, images)


def test_it_knows_which_lessons_it_is_about(made):
    assert exam(made, Stripes((5, 0), "test")).tasks == (1, 3)
    assert exam(made, Stripes((2, 3), "test")).tasks == (2,)


def test_before_and_after_are_accuracies_among_all_classes(made):
    sat = exam(made, Stripes((0, 1), "test"))
    assert sat.before == made.evaluate(Stripes((0, 1), "test")).accuracy
    other = learner("probe", (0, 1), (2, 3), (4, 5), (6, 7, 8, 9))
    retest = sat.again(other.method, made.device)
    assert retest.after == other.evaluate(Stripes((0, 1), "test")).accuracy
    assert (retest.before, retest.classes, retest.tasks, retest.num_images) == (sat.before, 2, (1,), 8)


def test_a_class_that_is_still_to_come_is_refused(made):
    with pytest.raises(DataError, match="not known before this lesson: stripes 9"):
        exam(made, Stripes((0, 9), "test"))


def test_one_folder_may_be_named_without_a_list(made, tmp_path):
    record = made.learn(Stripes((6, 7)), epochs=1, retest=write_stripes(tmp_path / "first", (0, 1), "test"))
    assert [(retest.name, retest.tasks) for retest in record.retests] == [("first", (1,))]
