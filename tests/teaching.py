"""A plain training loop over made-up tasks, for tests of methods without the engine."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sdlora.methods import Method
from sdlora.task import Task, TaskData

SIZE = 16  # side of the pictures, pixels; what the untrained backbone takes


def make_tasks(*sizes: int) -> list[Task]:
    """Return tasks of the given numbers of classes."""
    tasks, offset = [], 0
    for index, size in enumerate(sizes):
        tasks.append(Task(index, tuple(f"class {offset + k}" for k in range(size)), offset))
        offset += size
    return tasks


class FixedBatches:
    """Three batches of pictures whose colour tells the class."""

    def __init__(self, task: Task, seed: int, batch_size: int = 6) -> None:
        generator = torch.Generator().manual_seed(1000 * seed + task.index)
        self.batches: list[tuple[Tensor, Tensor]] = []
        for start in range(3):
            ids = torch.arange(batch_size) + start
            labels = task.class_offset + ids % task.num_classes
            hue = torch.stack([(labels * k % 7) / 7.0 for k in (1, 2, 3)], dim=1)[:, :, None, None]
            noise = torch.rand(batch_size, 3, SIZE, SIZE, generator=generator)
            self.batches.append(((0.7 * hue + 0.3 * noise), labels))

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)


def data_of(task: Task, seed: int = 0) -> TaskData:
    """Return the same made-up pictures as training and as plain data."""
    batches = FixedBatches(task, seed)
    return TaskData(train=batches, plain=batches)


def teach(
    method: Method,
    tasks: list[Task],
    *,
    seed: int = 0,
    lr: float = 0.05,
    momentum: float = 0.9,
    epochs: int = 1,
    autocast: bool = False,
) -> Method:
    """Run every hook as the engine does: seeded before each, SGD, the same pictures every epoch."""
    for task in tasks:
        data = data_of(task, seed)
        torch.manual_seed(10_000 * seed + 100 * task.index)
        method.begin_task(task)
        method.prepare(data)
        groups = [{"params": g["params"], "lr": lr * g.get("lr_scale", 1.0)} for g in method.param_groups()]
        trained = [p for g in groups for p in g["params"]]
        if trained and method.num_epochs != 0:
            optimizer = torch.optim.SGD(groups, lr=lr, momentum=momentum)
            for epoch in range(epochs):
                for step, (images, labels) in enumerate(data.train):
                    torch.manual_seed(10_000 * seed + 100 * task.index + 10 * epoch + step + 1)
                    optimizer.zero_grad()
                    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
                        loss = sum(method.losses(images, labels).values())
                    loss.backward()
                    optimizer.step()
        torch.manual_seed(10_000 * seed + 100 * task.index + 99)
        method.end_task(data)
    return method


def changed_by_steps(method: Method, task: Task, lr: float = 0.01) -> set[str]:
    """Take a step of Adam on every batch of a task that has begun; return the names of the state that it changed."""
    before = {name: value.clone() for name, value in method.state_dict().items()}
    optimizer = torch.optim.Adam([p for group in method.param_groups() for p in group["params"]], lr=lr)
    for pictures, labels in data_of(task).train:
        optimizer.zero_grad()
        sum(method.losses(pictures, labels).values()).backward()
        optimizer.step()
    return {name for name, value in method.state_dict().items() if not torch.equal(value, before[name])}


def has_gradients_everywhere(method: Method, size: int = 32) -> bool:
    """Tell whether the loss of four pictures, after tasks of 3 and 2 classes, reaches all that trains.

    Also checks the shape of the logits.
    """
    pictures = torch.rand(4, 3, size, size, generator=torch.Generator().manual_seed(2))
    assert method(pictures).shape == (4, 5)
    sum(method.losses(pictures, torch.tensor([3, 4, 4, 3])).values()).backward()
    return all(p.grad is not None and bool(p.grad.any()) for p in method.parameters() if p.requires_grad)
