import numpy as np

from sdlora.datasets.synthetic import synthetic
from sdlora.streams.split import make_stream

DATASET = synthetic(None, 4, num_classes=10, train_images=5, test_images=3)
STREAM = make_stream(DATASET, task_sizes=[3, 2, 5], class_order=11)


def test_every_image_is_in_exactly_one_task_under_its_own_name():
    for part, dataset_split in ((STREAM.train, DATASET.train), (STREAM.test, DATASET.test)):
        splits = [part(index) for index in range(3)]
        ids = np.concatenate([split.ids for split in splits])
        assert sorted(ids.tolist()) == list(range(len(dataset_split.labels)))
        for split, task in zip(splits, STREAM.tasks, strict=True):
            assert set(split.labels.tolist()) == set(range(task.class_offset, task.num_seen))
            for index, label in zip(split.ids, split.labels, strict=True):
                assert STREAM.classes[label] == DATASET.classes[dataset_split.labels[index]]
                assert split.images[index] is not None
            assert split.images is dataset_split.images
            assert split.augment is DATASET.default_augment


def test_classes_are_in_order_of_arrival():
    assert STREAM.classes == tuple(name for task in STREAM.tasks for name in task.classes)
    assert STREAM.name == "synthetic_3"


def test_joined_is_one_task_with_the_same_groups():
    joint = STREAM.joined()
    (task,) = joint.tasks
    assert task.classes == joint.classes == STREAM.classes
    assert (task.index, task.class_offset) == (0, 0)
    assert len(joint.train(0)) == 50
    assert np.array_equal(joint.train(0).labels, STREAM.train_split.labels)
    assert [joint.test(group).labels.tolist() for group in range(3)] == [
        STREAM.test(i).labels.tolist() for i in range(3)
    ]
    assert joint.describe() == STREAM.describe()


def test_description_is_what_a_manifest_stores():
    described = STREAM.describe()
    assert set(described) == {"name", "digest", "classes", "tasks", "notes"}
    assert described["classes"] == [name for names in described["tasks"] for name in names]
    assert [len(names) for names in described["tasks"]] == [3, 2, 5]
    assert len(described["digest"]) == 64
