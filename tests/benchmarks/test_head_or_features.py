"""Other heads on given features: all of them tell apart what can be told apart."""

import pytest
import torch

from benchmarks.head_or_features import class_means, logistic, ridge

CENTRES = torch.eye(4, 8)


def part(classes: list[int], seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.tensor(classes).repeat_interleave(20)
    noise = torch.randn(len(labels), 8, generator=torch.Generator().manual_seed(seed))
    return CENTRES[labels] + 0.05 * noise, labels


@pytest.mark.parametrize("head", [class_means, ridge, logistic])
def test_classes_of_two_tasks_are_told_apart(head):
    test, labels = part([0, 1, 2, 3], seed=9)
    assert torch.equal(head([part([0, 1], seed=1), part([2, 3], seed=2)], test), labels)
