"""What a person is told of a lesson that came out badly, and what helps."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdlora.backbones.vit import SHIPPED
from sdlora.bundle import TaskRecord

FEW = 20  # images a class; below that more of them help most


def advice(record: TaskRecord, backbone: str, options: Mapping[str, Any]) -> str | None:
    """Return what is wrong with a lesson and what helps, in one line; None where nothing is.

    Args:
        record: The lesson.
        backbone: Name of the model's backbone.
        options: Options of its method.
    """
    if record.is_near_chance:
        what = f"{_percent(record.held_out_accuracy)} on held-out images is near chance ({_percent(record.chance)})"
    elif record.is_below_class_means and record.comparison is not None:
        found = record.comparison
        among = "" if found.accuracy == record.held_out_accuracy else f" among its {found.num_classes} classes"
        what = (
            f"{_percent(found.accuracy)} on held-out images{among} is below what class means reach on them "
            f"({_percent(found.class_means)})"
        )
    else:
        return None
    return f"{what}. What helps: {', '.join(_helps(record, backbone, options))}."


def _helps(record: TaskRecord, backbone: str, options: Mapping[str, Any]) -> list[str]:
    images = round((record.num_images - record.num_held_out) / max(1, len(record.classes) + len(record.updated)))
    helps = [f"more images (here {images} a class)"] if images < FEW else []
    if options.get("head") == "linear":
        helps.append("a new model with the default head (in Python, leave head out)")
    elif "layers" in options and options["layers"] is None:
        helps.append("a new model with --layers all")
    helps.append(
        "a new model on a backbone for photographs (--backbone NAME, see sdlora list backbones)"
        if backbone == SHIPPED
        else "a new model on another backbone (--backbone NAME, see sdlora list backbones)"
    )
    return helps


def _percent(fraction: float | None) -> str:
    return "nothing" if fraction is None else f"{100 * fraction:.1f} %"
