"""Lessons as people teach them, on the shipped backbone: the tables of lessons in docs/lab_log.md.

    few     three lessons of few images, class orders of seeds 910 and 911
    one     six lessons of one class after three of ten, seeds 900, 901 and 902
    again   six known classes once more after three lessons of ten, the same seeds
    digits  five lessons of two digits, written as PNG folders
    emoji   five lessons of ten emoji, from a folder with parts train and test

Whatever is not given is as in `sdlora learn`. Class means: the nearest mean of frozen features by angle, on the same
images, at the end.

    python benchmarks/lessons.py few
    python benchmarks/lessons.py one --layers last --adapt 0
    python benchmarks/lessons.py emoji --data /tmp/emoji100
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch.nn.functional import normalize

from sdlora.backbones.vit import Backbone, load_backbone
from sdlora.datasets import DATASETS
from sdlora.datasets.base import Dataset, Split
from sdlora.learner import Learner
from sdlora.learner.pictures import as_seen
from sdlora.streams import make_stream

Pixels = NDArray[np.uint8]


class Images:
    """Labelled images as a Dataset with ``.classes``.

    Args:
        images: (N, side, side, 3).
        labels: (N,) positions in `classes`.
        classes: Names.
    """

    def __init__(self, images: Pixels, labels: NDArray[np.int64], classes: Sequence[str]) -> None:
        self.classes, self.images, self.labels = list(classes), images, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Pixels, int]:
        return self.images[index], int(self.labels[index])


def pick(dataset: Dataset, split: Split, names: Sequence[str], rows: slice = slice(None)) -> Images:
    """Return some images of each of the named classes."""
    images, labels = [], []
    for label, name in enumerate(names):
        found = np.flatnonzero(split.labels == dataset.classes.index(name))[rows]
        images.append(np.asarray(split.images)[found])
        labels.append(np.full(len(found), label))
    return Images(np.concatenate(images), np.concatenate(labels), names)


@cache
def glyphs() -> Dataset:
    """Return glyphs100 at the size of the shipped backbone, its classes numbered: some differ in case only."""
    found = DATASETS.get("glyphs100")(None, load_backbone("glyph_vit").image_size)
    return replace(found, classes=tuple(f"{index} {name}" for index, name in enumerate(found.classes)))


def order(seed: int) -> tuple[str, ...]:
    """Return the classes of glyphs100 in the order of a seed."""
    return make_stream(glyphs(), num_tasks=2, class_order=seed).classes


def groups(names: Sequence[str], sizes: Iterable[int]) -> Iterator[Sequence[str]]:
    """Divide names among lessons."""
    start = 0
    for size in sizes:
        yield names[start : start + size]
        start += size


@torch.inference_mode()
def features(backbone: Backbone, images: Pixels) -> torch.Tensor:
    """Return frozen features (N, D)."""
    parts = torch.split(torch.from_numpy(np.ascontiguousarray(images)), 256)
    return torch.cat([backbone(part.permute(0, 3, 1, 2).float() / 255) for part in parts])


def class_means(lessons: Sequence[Images], test: Images) -> float:
    """Return the accuracy of the nearest class mean by angle on frozen features."""
    backbone = load_backbone("glyph_vit")
    means = {}
    for lesson in lessons:
        seen = features(backbone, lesson.images)
        for label, name in enumerate(lesson.classes):
            means[name] = seen[torch.from_numpy(lesson.labels == label)].mean(0)
    scores = normalize(features(backbone, test.images), dim=1) @ normalize(torch.stack([*means.values()]), dim=1).T
    places = torch.tensor([test.classes.index(name) for name in means])
    return float((places[scores.argmax(1)].numpy() == test.labels).mean())


def few(make: Callable[[], Learner]) -> None:
    for size, count in ((10, 5), (5, 20), (10, 20)):
        for seed in (910, 911):
            lessons = [pick(glyphs(), glyphs().train, n, slice(count)) for n in groups(order(seed), [size] * 3)]
            learner = taught(make(), lessons)
            test = pick(glyphs(), glyphs().test, learner.classes)
            tell(f"{size} classes of {count} images, seed {seed}", learner, [test], class_means(lessons, test))


def one(make: Callable[[], Learner]) -> None:
    for seed in (900, 901, 902):
        first = [pick(glyphs(), glyphs().train, names, slice(40)) for names in groups(order(seed), [10] * 3)]
        for count in (20, 5):
            alone = [pick(glyphs(), glyphs().train, [name], slice(count)) for name in order(seed)[30:36]]
            learner = taught(make(), [*first, *alone])
            known = learner.classes
            parts = [pick(glyphs(), glyphs().test, names) for names in (known[:30], known[30:], known)]
            tell(f"six alone, {count} images, seed {seed}", learner, parts, class_means([*first, *alone], parts[-1]))


def again(make: Callable[[], Learner]) -> None:
    for seed in (900, 901, 902):
        for kind, count in (("other faces", 40), ("few images", 5)):
            lessons = [pick(glyphs(), glyphs().train, names, slice(count)) for names in groups(order(seed), [10] * 3)]
            learner = taught(make(), lessons)
            six = learner.classes[::5]
            others = [name for name in learner.classes if name not in six]
            source, rows, held = (
                (glyphs().test, slice(None, None, 2), slice(1, None, 2))
                if kind == "other faces"
                else (glyphs().train, slice(5, 40), slice(None))
            )
            parts = [pick(glyphs(), glyphs().test, names, held) for names in (six, others, learner.classes)]
            tell(f"{kind}, seed {seed}, before", learner, parts, class_means(lessons, parts[-1]))
            learner.learn(pick(glyphs(), source, six, rows), update=True, holdout=0, progress=False)
            tell(f"{kind}, seed {seed}, after", learner, parts, float("nan"))


def digits(make: Callable[[], Learner]) -> None:
    dataset = DATASETS.get("digits")(None, 32)
    with TemporaryDirectory() as folder:
        for name, split in (("train", dataset.train), ("test", dataset.test)):
            for index, label in enumerate(split.labels.tolist()):
                path = Path(folder, name, str(label // 2), dataset.classes[label])
                path.mkdir(parents=True, exist_ok=True)
                Image.fromarray(np.asarray(split.images)[index]).save(path / f"{index:04}.png")
        learner = make()
        for lesson in range(5):
            learner.learn(Path(folder, "train", str(lesson)), progress=False)
        test = pick(dataset, dataset.test, learner.classes)
        tell(
            "five lessons of two digits",
            learner,
            [test],
            class_means([pick(dataset, dataset.train, dataset.classes)], test),
        )


def emoji(make: Callable[[], Learner], data: Path) -> None:
    names = sorted(path.name for path in (data / "train").iterdir())
    names = [
        names[place] for place in torch.randperm(len(names), generator=torch.Generator().manual_seed(910)).tolist()
    ]
    learner = make()

    def read(part: str, chosen: Sequence[str]) -> Images:
        files = [(path, label) for label, name in enumerate(chosen) for path in sorted((data / part / name).iterdir())]
        pixels = np.stack([as_seen(path, learner.image_size, learner.augment) for path, _ in files])
        return Images(pixels, np.array([label for _, label in files]), chosen)

    lessons = [read("train", chosen) for chosen in groups(names, [10] * 5)]
    taught(learner, lessons)
    test = read("test", learner.classes)
    tell("five lessons of ten emoji", learner, [test], class_means(lessons, test))


def taught(learner: Learner, lessons: Sequence[Images]) -> Learner:
    """Teach all images of each lesson."""
    for lesson in lessons:
        learner.learn(lesson, holdout=0, progress=False)
    return learner


def tell(what: str, learner: Learner, tests: Sequence[Images], means: float) -> None:
    """Print a line: accuracies on each part among all classes, class means, and the seconds of each lesson."""
    parts = " / ".join(f"{100 * learner.evaluate(test).accuracy:.1f}" for test in tests)
    seconds = " ".join(f"{record.seconds:.0f}" for record in learner.history)
    print(
        f"{time.strftime('%H:%M')} {what}: {parts} % (class means {100 * means:.1f} %), lessons {seconds} s", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("few", "one", "again", "digits", "emoji"))
    parser.add_argument("--head")
    parser.add_argument("--layers", help="all, last or a number")
    parser.add_argument("--adapt", help="lessons that adapt, or all")
    parser.add_argument("--init", help="head_init")
    parser.add_argument("--data", type=Path, default=Path("/tmp/emoji100"))
    arguments = parser.parse_args()
    options: dict[str, Any] = {} if arguments.head is None else {"head": arguments.head}
    if arguments.init:
        options["head_init"] = arguments.init
    if arguments.layers:
        word = arguments.layers
        options["layers"] = {"all": "all", "last": None}.get(word, int(word) if word.isdigit() else word)
    if arguments.adapt:
        options["adapt_tasks"] = None if arguments.adapt == "all" else int(arguments.adapt)

    def make() -> Learner:
        return Learner(device="cpu", **options)

    print(f"{arguments.what} {make().method_options}", flush=True)
    protocols: dict[str, Callable[[], None]] = {
        "few": lambda: few(make),
        "one": lambda: one(make),
        "again": lambda: again(make),
        "digits": lambda: digits(make),
        "emoji": lambda: emoji(make, arguments.data),
    }
    protocols[arguments.what]()


if __name__ == "__main__":
    main()
