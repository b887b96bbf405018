import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdlora.datasets.base import Split
from sdlora.datasets.synthetic import synthetic
from sdlora.errors import ConfigError, DataError
from sdlora.streams.split import make_stream, read_class_order

DATASET = synthetic(None, 4, num_classes=10, train_images=3, test_images=2)


@given(st.integers(1, 10))
def test_tasks_differ_by_one_class_at_most_and_the_larger_come_first(num_tasks):
    sizes = [task.num_classes for task in make_stream(DATASET, num_tasks=num_tasks).tasks]
    assert len(sizes) == num_tasks
    assert sum(sizes) == 10
    assert max(sizes) - min(sizes) <= 1
    assert sizes == sorted(sizes, reverse=True)


def test_uneven_sizes():
    stream = make_stream(DATASET, task_sizes=[1, 6, 3])
    assert [task.num_classes for task in stream.tasks] == [1, 6, 3]
    assert [task.class_offset for task in stream.tasks] == [0, 1, 7]
    assert [task.num_seen for task in stream.tasks] == [1, 7, 10]
    assert [task.index for task in stream.tasks] == [0, 1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "one of the two"),
        ({"num_tasks": 2, "task_sizes": [5, 5]}, "one of the two"),
        ({"num_tasks": 0}, "0 tasks for 10 classes\nExpected: 1 to 10 tasks"),
        ({"num_tasks": 11}, "11 tasks for 10 classes\nExpected: 1 to 10 tasks"),
        ({"task_sizes": [4, 5]}, r"task sizes \[4, 5\] sum to 9\nExpected: .*number of classes, 10"),
        ({"task_sizes": [11, -1]}, "sizes of at least 1"),
        ({"task_sizes": [10, 0]}, "sizes of at least 1"),
        ({"task_sizes": []}, "sum to 0"),
    ],
)
def test_sizes_that_do_not_fit(options, message):
    with pytest.raises(ConfigError, match=message):
        make_stream(DATASET, **options)


def test_given_order():
    assert make_stream(DATASET, num_tasks=5).classes == DATASET.classes


def test_seeded_order_is_a_shuffle_fixed_for_ever():
    orders = [make_stream(DATASET, num_tasks=5, class_order=seed).classes for seed in range(20)]
    assert all(sorted(order) == sorted(DATASET.classes) for order in orders)
    assert len(set(orders)) == 20
    names = [f"stripes {index}" for index in (5, 1, 6, 2, 9, 0, 8, 7, 4, 3)]
    assert list(make_stream(DATASET, num_tasks=2, class_order=1993).classes) == names


def test_seeds_put_every_class_everywhere():
    firsts = {make_stream(DATASET, num_tasks=5, class_order=seed).classes[0] for seed in range(100)}
    assert firsts == set(DATASET.classes)


def test_order_from_a_list_and_from_a_file(tmp_path):
    names = list(reversed(DATASET.classes))
    stream = make_stream(DATASET, num_tasks=2, class_order=names)
    assert list(stream.classes) == names
    (tmp_path / "order.txt").write_text("\n".join(names) + "\n\n", encoding="utf-8")
    same = make_stream(DATASET, num_tasks=2, class_order=tmp_path / "order.txt")
    assert same.describe() == stream.describe()
    assert read_class_order(tmp_path / "order.txt") == names


def test_decomposed_names_are_the_same_names():
    dataset = dataclasses.replace(DATASET, classes=("Köln", *DATASET.classes[1:]))
    assert make_stream(dataset, num_tasks=1, class_order=["Ko\u0308ln", *DATASET.classes[1:]]).classes[0] == "Köln"


def test_all_problems_of_an_order_at_once():
    names = ["stripes 0", "stripes 0", "stripe 2", *DATASET.classes[3:]]
    with pytest.raises(ConfigError) as caught:
        make_stream(DATASET, num_tasks=2, class_order=names)
    message = str(caught.value)
    assert '"stripes 0" stands in it 2 times' in message
    assert '"stripe 2" is no class, "stripes 2" is' in message
    assert '"stripes 1" is missing; "stripes 2" is missing' in message
    assert message.endswith("Expected: each of the 10 class names once")


def test_orders_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r'class order "random"\nExpected: "given"'):
        make_stream(DATASET, num_tasks=2, class_order="random")
    with pytest.raises(ConfigError, match=r"cannot read the class order .*gone\.txt"):
        make_stream(DATASET, num_tasks=2, class_order=tmp_path / "gone.txt")
    (tmp_path / "binary.txt").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"cannot read the class order .*binary\.txt"):
        make_stream(DATASET, num_tasks=2, class_order=tmp_path / "binary.txt")


def without(split, label):
    keep = split.labels != label
    return Split(split.images[keep], split.labels[keep])


def test_classes_without_training_images_and_tasks_without_test_images_are_refused():
    dataset = dataclasses.replace(DATASET, train=without(DATASET.train, 4))
    with pytest.raises(DataError, match='class "stripes 4" has no training image'):
        make_stream(dataset, num_tasks=2)
    dataset = dataclasses.replace(DATASET, test=without(without(DATASET.test, 8), 9))
    assert len(make_stream(dataset, num_tasks=2).test(1)) == 6
    with pytest.raises(DataError, match=r"task 5 \(stripes 8, stripes 9\) has no test image"):
        make_stream(dataset, num_tasks=5)


def test_digest_follows_images_order_and_sizes():
    pixels = DATASET.train.images.copy()
    pixels[0, 0, 0, 0] ^= 1
    streams = [
        make_stream(DATASET, num_tasks=5),
        make_stream(DATASET, num_tasks=2),
        make_stream(DATASET, task_sizes=[1, 2, 3, 2, 2]),
        make_stream(DATASET, num_tasks=5, class_order=1),
        make_stream(dataclasses.replace(DATASET, train=Split(pixels, DATASET.train.labels)), num_tasks=5),
        make_stream(dataclasses.replace(DATASET, classes=tuple(f"x{name}" for name in DATASET.classes)), num_tasks=5),
    ]
    assert len({stream.digest for stream in streams}) == len(streams)
    assert make_stream(DATASET, task_sizes=[2] * 5).digest == streams[0].digest
    assert make_stream(DATASET, num_tasks=5, class_order=list(DATASET.classes)).digest == streams[0].digest
    assert np.array_equal(streams[0].train_split.labels, DATASET.train.labels)
