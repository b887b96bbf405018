"""Is accuracy lost in the head or in the features? Other heads on what a run has learned.

For a run that kept its weights after each task, on the features of the final model, prints the accuracy of the head
that was trained, of two closed-form heads made task by task (each from the features at the time of its task, as a
method could) and, as bounds that no method without old data can claim, of heads made from all training images at the
end.

    sdlora train glyphs100_10/sdlora run.seeds=[100] run.output_dir=runs/kept run.keep_task_weights=true
    python benchmarks/head_or_features.py runs/kept/seed100
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor
from torch.nn.functional import normalize

from sdlora.config.build import build
from sdlora.config.load import load_recipe
from sdlora.engine.task_weights import load_after_task
from sdlora.heads.random_projection import RandomProjectionHead, projection_width
from sdlora.methods import Method
from sdlora.streams import PlainBatches, TaskSplit

Part = tuple[Tensor, Tensor]
"""Features (N, D) and labels (N,) of a task."""


@torch.inference_mode()
def features_of(method: Method, split: TaskSplit) -> Part:
    """Return the features (N, D) that a method's head is given, and the labels (N,)."""
    batches = PlainBatches(split, 256, method.backbone.image_size, torch.device("cpu"))
    features, labels = zip(*((method.backbone(images), labels) for images, labels in batches), strict=True)
    return torch.cat(features), torch.cat(labels)


def class_means(parts: list[Part], test: Tensor) -> Tensor:
    """Return the class (N,) whose mean feature is nearest by angle; labels of the parts count up."""
    means = torch.cat([torch.stack([f[y == k].mean(0) for k in y.unique()]) for f, y in parts])
    return (normalize(test, dim=1) @ normalize(means, dim=1).T).argmax(dim=1)


def ridge(parts: list[Part], test: Tensor) -> Tensor:
    """Return the class (N,) by RanPAC's head, fitted part after part."""
    width = test.shape[1]
    torch.manual_seed(0)
    head = RandomProjectionHead(width, projection_width(width, None))
    for features, labels in parts:
        head.grow(len(labels.unique()))
        head.fit(features, labels)
    return head(test).argmax(dim=1)


def logistic(parts: list[Part], test: Tensor) -> Tensor:
    """Return the class (N,) by logistic regression on all parts together."""
    features, labels = (torch.cat(tensors) for tensors in zip(*parts, strict=True))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(features.numpy(), labels.numpy())
    return torch.from_numpy(model.predict(test.numpy()))


def main(folder: Path) -> None:
    recipe = load_recipe(str(folder / "recipe.toml"), [])
    experiment = build(recipe)
    stream = experiment.stream(recipe.run.seeds[0])
    num_tasks = len(stream.groups)
    after = [load_after_task(experiment.method, stream, folder, task + 1) for task in range(num_tasks)]
    test, labels = (
        torch.cat(t) for t in zip(*(features_of(after[-1], stream.test(i)) for i in range(num_tasks)), strict=True)
    )
    then = [features_of(method, stream.train(i)) for i, method in enumerate(after)]
    now = [features_of(after[-1], stream.train(i)) for i in range(num_tasks)]
    with torch.inference_mode():
        answers = {
            "the head that was trained": after[-1].head(test).argmax(dim=1),
            "class means, task by task": class_means(then, test),
            "ridge on random features, task by task": ridge(then, test),
            "class means, all images at the end": class_means(now, test),
            "ridge on random features, all images at the end": ridge(now, test),
        }
    answers["logistic regression, all images at the end"] = logistic(now, test)
    print(f"{folder}: {recipe.method.name} on {recipe.stream.dataset}, {num_tasks} tasks")
    for name, said in answers.items():
        print(f"{100 * (said == labels).float().mean():5.1f} %  {name}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
