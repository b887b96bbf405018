"""Metrics of continual learning: pure functions of one matrix of integers."""

from sdlora.metrics.accuracy import (
    aaa,
    acc,
    accuracy_after_each_task,
    weighted_aaa,
    weighted_acc,
    weighted_accuracy_after_each_task,
)
from sdlora.metrics.forgetting import forgetting, forgetting_by_task
from sdlora.metrics.matrix import AccuracyMatrix, count_row
from sdlora.metrics.transfer import backward_transfer

__all__ = [
    "AccuracyMatrix",
    "aaa",
    "acc",
    "accuracy_after_each_task",
    "backward_transfer",
    "count_row",
    "forgetting",
    "forgetting_by_task",
    "weighted_aaa",
    "weighted_acc",
    "weighted_accuracy_after_each_task",
]
