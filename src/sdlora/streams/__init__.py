"""From a dataset to the tasks of a run, and from a task to batches of pictures on the training device."""

from sdlora.streams.batches import PlainBatches, TrainBatches
from sdlora.streams.split import make_stream, read_class_order
from sdlora.streams.stream import Stream, TaskSplit

__all__ = ["PlainBatches", "Stream", "TaskSplit", "TrainBatches", "make_stream", "read_class_order"]
