import dataclasses

import pytest

from sdlora.task import Task


def test_counts():
    task = Task(index=2, classes=("cat", "dog"), class_offset=5)
    assert task.num_classes == 2
    assert task.num_seen == 7
    with pytest.raises(dataclasses.FrozenInstanceError):
        task.index = 3  # type: ignore[misc]
