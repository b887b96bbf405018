import pytest
from bundles import record
from pydantic import ValidationError

from sdlora.bundle import Retest


def retest(*tasks):
    return Retest(name="test", classes=2, tasks=tasks, num_images=9, before=0.9, after=0.8)


def test_a_lesson_in_one_line():
    assert repr(record(3, ("a", "b"), num_images=1440, held_out_accuracy=0.941, seconds=109.4)) == (
        "TaskRecord(3: 2 classes, 1440 images, held-out 94.1 %, 109 s)"
    )
    alone = record(1, ("a",), held_out_accuracy=None)
    assert str(alone) == "TaskRecord(1: 1 class, 20 images, nothing held out, 2 s)"


def test_only_one_class_is_written_into_the_head():
    with pytest.raises(ValidationError, match="2 classes were written"):
        record(1, ("a", "b"), is_imprinted=True)


def test_which_lessons_were_retested():
    assert record(4, ("a",), retests=(retest(1), retest(1, 3))).retested == {1, 3}
    assert record(4, ("a",)).retested == frozenset()
    assert record(4, ("a",), retests=(retest(),)).retested == {1, 2, 3}  # a record that does not say which


def test_what_a_lesson_measured_of_earlier_ones():
    first, second = record(1, ("a", "b")), record(2, ("c",))
    assert not record(3, ("d",)).covers(first)
    shown = record(3, ("d",), retests=(retest(1),))
    assert (shown.covers(first), shown.covers(second)) == (True, False)
    again = record(3, (), updated=("a", "c"))
    assert (again.covers(first), again.covers(second)) == (False, True)
    assert not record(3, (), updated=("c",), num_held_out=0, held_out_accuracy=None).covers(second)
