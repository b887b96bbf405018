from bundles import record

from sdlora.bundle import Comparison, Retest


def retest(*tasks):
    return Retest(name="test", classes=2, tasks=tasks, num_images=9, before=0.9, after=0.8)


def test_a_lesson_in_one_line():
    assert repr(record(3, ("a", "b"), num_images=1440, held_out_accuracy=0.941, seconds=109.4)) == (
        "TaskRecord(3: 2 classes, 1440 images, held-out 94.1 %, 109 s)"
    )
    alone = record(1, ("a",), held_out_accuracy=None)
    assert str(alone) == "TaskRecord(1: 1 class, 20 images, nothing held out, 2 s)"


def held_out(accuracy, chance=0.1, comparison=None, count=100):
    return record(1, ("a", "b"), held_out_accuracy=accuracy, num_held_out=count, chance=chance, comparison=comparison)


def test_near_chance_is_a_tenth_of_the_way_to_all_right():
    assert held_out(0.18).is_near_chance
    assert not held_out(0.20).is_near_chance
    assert held_out(0.5, chance=0.5).is_near_chance
    assert not held_out(None).is_near_chance
    assert not held_out(0.0, chance=None).is_near_chance


def test_below_class_means_is_more_than_a_point_and_more_than_an_image():
    def below(accuracy, means, count):
        return held_out(
            accuracy, comparison=Comparison(num_classes=10, accuracy=accuracy, class_means=means), count=count
        ).is_below_class_means

    assert below(0.70, 0.72, 1000)
    assert not below(0.71, 0.72, 1000)
    assert below(0.70, 0.72, 100)
    assert not below(0.75, 0.80, 20)  # a single image
    assert below(0.70, 0.80, 20)
    assert not held_out(0.5).is_below_class_means


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
