"""Is 0.5 a fair threshold for "not sure"? Measured on classes that a model has not been taught yet.

A run that kept its weights after each task knows 10, 20, ... classes in turn; the test images of the classes to come
are strange to it. For each threshold this prints, over all tasks together: the share of images of known classes of
which the model is sure, how many of those it gets right, the share of images of unknown classes of which it is not
sure, and the mean of the first and the last.

    sdlora train glyphs100_10/sdlora run.seeds=[0] run.output_dir=runs/kept run.keep_task_weights=true
    python benchmarks/not_sure.py runs/kept/seed0
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from sdlora.config.build import build
from sdlora.config.load import load_recipe
from sdlora.engine.task_weights import load_after_task
from sdlora.methods import Method
from sdlora.streams import PlainBatches, Stream

THRESHOLDS = (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)


@torch.inference_mode()
def answers(method: Method, stream: Stream) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.int64]]:
    """Return the best probability of every test image, whether it is right, and the group of the image."""
    shares, right, groups = [], [], []
    for group in range(len(stream.groups)):
        for images, labels in PlainBatches(stream.test(group), 256, method.backbone.image_size, torch.device("cpu")):
            best, said = method(images).softmax(dim=1).max(dim=1)
            shares.append(best.numpy())
            right.append((said == labels).numpy())
            groups.append(np.full(len(labels), group))
    return np.concatenate(shares), np.concatenate(right), np.concatenate(groups)


def main(folder: Path) -> None:
    recipe = load_recipe(str(folder / "recipe.toml"), [])
    experiment = build(recipe)
    stream = experiment.stream(recipe.run.seeds[0])
    counts = np.zeros((len(THRESHOLDS), 3))  # of known images sure ones and sure right ones; of unknown ones not sure
    totals = np.zeros(2)  # known and unknown
    for num_tasks in range(1, len(stream.groups)):
        shares, right, groups = answers(load_after_task(experiment.method, stream, folder, num_tasks), stream)
        known = groups < num_tasks
        totals += known.sum(), (~known).sum()
        for row, threshold in zip(counts, THRESHOLDS, strict=True):
            sure = shares >= threshold
            row += (known & sure).sum(), (known & sure & right).sum(), (~known & ~sure).sum()
    print(f"{folder}: {recipe.method.name} on {recipe.stream.dataset}, after 1 to {len(stream.groups) - 1} tasks")
    print("| threshold | known: sure | of these right | unknown: not sure | balance |")
    print("|---:|---:|---:|---:|---:|")
    for threshold, (sure, hits, unsure) in zip(THRESHOLDS, counts, strict=True):
        known, unknown = sure / totals[0], unsure / totals[1]
        correct = f"{100 * hits / sure:.1f} %" if sure else "none"
        print(
            f"| {threshold:.2f} | {100 * known:.1f} % | {correct} | {100 * unknown:.1f} % "
            f"| {50 * (known + unknown):.1f} % |"
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
