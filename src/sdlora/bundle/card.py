"""The model card: ``README.md`` of a bundle, written anew with each generation from what is known, and nothing else."""

from __future__ import annotations

import re

from sdlora.bundle.config import BundleConfig, Weights
from sdlora.bundle.source import Base
from sdlora.methods import METHODS

NOTES = "## Notes"


def model_card(config: BundleConfig, former: str = "") -> str:
    """Return the card of a generation.

    Args:
        config: The generation.
        former: The card that was there; its section Notes belongs to the owner and is carried over.
    """
    notes = former.partition(f"\n{NOTES}\n")[2].strip()
    return (
        "\n\n".join(
            [
                _front_matter(config),
                "# An image classifier that goes on learning",
                _recognises(config),
                _taught(config),
                *_measured(config),
                *_unknown(config),
                LIMITS,
                USE + _use_timm(config),
                _files(config),
                *([f"{NOTES}\n{notes}"] if notes else []),
            ]
        ).rstrip()
        + "\n"
    )


LIMITS = """## Limits
It answers only with the classes it was taught. Probabilities are not calibrated across lessons.
No pictures are inside."""

USE = """## Use it
```python
import sdlora
learner = sdlora.Learner.load("FOLDER")
learner.predict("photo.jpg")
```
On the command line: `sdlora predict FOLDER photo.jpg`. The next lesson: `sdlora learn FOLDER NEW_CLASSES`.

Over HTTP, once `sdlora serve FOLDER` runs:
```sh
curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:8000/v1/predict
```
With onnxruntime, without sdlora and PyTorch:
```sh
sdlora export FOLDER --to onnx
python FOLDER-onnx/predict.py photo.jpg
```"""

USE_TIMM = """
With timm alone, after `sdlora export FOLDER --to timm`:
```python
import timm
model = timm.create_model("local-dir:FOLDER-timm", pretrained=True).eval()
```"""


USE_TIMM_LAYERS = """
With timm alone: `sdlora export FOLDER --to timm` writes the backbone and the Python that predicts from several of its
blocks."""


def _front_matter(config: BundleConfig) -> str:
    lines = [
        "---",
        "library_name: sdlora",
        "pipeline_tag: image-classification",
        f"base_model: timm/{config.backbone.name}" if _is_timms(config) else "",
        "tags:",
        *(f"- {tag}" for tag in dict.fromkeys(("sdlora", "class-incremental-learning", config.method.name))),
        "---",
    ]
    return "\n".join(line for line in lines if line)


def _recognises(config: BundleConfig) -> str:
    lessons = [f"- lesson {task.task}: {_names(task.classes)}" for task in config.tasks if task.classes]
    return "\n".join([f"## Recognises\n{len(config.classes)} classes:", *lessons])


def _taught(config: BundleConfig) -> str:
    place = "" if _is_elsewhere(config) else ", in this folder"
    backbone = f"{_code(config.backbone.name)} (sha256 {config.backbone.sha256[:8]}){place}"
    rows = [
        f"| {task.task} | {task.date} | {len(task.classes)} | {task.num_images} | "
        f"{_percent(task.held_out_accuracy)} | {task.epochs} |"
        for task in config.tasks
    ]
    head = "| lesson | date | classes | images | held-out images, then | epochs |\n|---:|---|---:|---:|---:|---:|"
    return "\n".join([f"## How it was taught\nMethod `{config.method.name}`, backbone {backbone}.\n", head, *rows])


def _measured(config: BundleConfig) -> list[str]:
    last = config.tasks[-1]
    rows = [
        f"| {_text(retest.name)} | {retest.num_images} | {_percent(retest.after)} | {last.date} | lesson {last.task} |"
        for retest in last.retests
    ]
    if last.held_out_accuracy is not None:
        rows.insert(
            0,
            f"| new classes, held out | {last.num_held_out} | {_percent(last.held_out_accuracy)} | {last.date} | "
            f"lesson {last.task} |",
        )
    rows += [
        f"| {_text(found.name)} (sha256 {found.sha256[:8]}) | {found.num_images} | {_percent(found.accuracy)} | "
        f"{found.date} | lesson {last.task} |"
        for found in config.measured
    ]
    head = "| data | images | accuracy | date | measured after |\n|---|---:|---:|---|---|"
    return ["\n".join(["## Measured", head, *rows])] if rows else []


def _unknown(config: BundleConfig) -> list[str]:
    """Name the lessons that were not measured since something newer was taught."""
    *earlier, last = config.tasks
    measured = {part.task for found in config.measured for part in found.tasks}
    unmeasured = [task for task in earlier if task.classes and not last.covers(task)]
    if last.held_out_accuracy is None:
        unmeasured.append(last)
    unmeasured = [task for task in unmeasured if task.task not in measured]
    lines = [f"- lesson {task.task}: its accuracy after lesson {last.task} was not measured" for task in unmeasured]
    return ["\n".join(["## Not known", *lines])] if lines else []


def _files(config: BundleConfig) -> str:
    files: list[Weights | Base] = [config.weights, *([config.backbone.base] if config.backbone.base else [])]
    rows = "".join(f"| {file.file} | {file.size} | `{file.sha256}` |\n" for file in files)
    return (
        f"## Files\n| file | bytes | sha256 |\n|---|---:|---|\n{rows}\n"
        f"Generation {config.generation}, version {config.version}; `history/` counts, `config.json` is a copy."
    )


def _is_elsewhere(config: BundleConfig) -> bool:
    """Whether the backbone is found by its name alone."""
    return config.backbone.base is None


def _is_timms(config: BundleConfig) -> bool:
    """Whether the backbone is one that timm fetches by name and weight tag."""
    return "." in config.backbone.name and _is_elsewhere(config)


def _use_timm(config: BundleConfig) -> str:
    """Return how timm loads the model, if all that was learned folds into one that timm builds by name."""
    name, options = config.method.name, config.method.options
    is_plain = name in METHODS and METHODS.get(name).mergeable and options.get("head") != "ridge"
    if not (_is_timms(config) and is_plain):
        return ""
    return USE_TIMM if options.get("layers") is None else USE_TIMM_LAYERS


def _code(name: str) -> str:
    """Return a name as code where it can end no code by itself, else as text."""
    return f"`{name}`" if re.fullmatch(r"[\w.:/@-]+", name) else _text(name)


def _names(classes: tuple[str, ...]) -> str:
    return ", ".join(map(_text, classes))


def _text(name: str) -> str:
    """Return a name that Markdown and HTML take as text."""
    return "".join(f"&#{ord(char)};" if char in "\\`*_{}[]<>()#+!|&~$:@" else char for char in name)


def _percent(fraction: float | None) -> str:
    return "not measured" if fraction is None else f"{100 * fraction:.1f} %"
