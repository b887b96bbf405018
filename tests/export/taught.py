"""Methods that have learned, ready to be exported."""

from __future__ import annotations

import copy
from typing import Any

from backbones.hugging_face_models import MODELS, make
from teaching import make_tasks, teach

from sdlora.backbones.vit import Backbone, backbone_of, load_backbone
from sdlora.export import Parts
from sdlora.methods import METHODS

HEADS: dict[str, dict[str, Any]] = {
    "started": {"head_init": "discriminant"},
    "solved": {"head": "discriminant"},
    "layers": {"head": "discriminant", "layers": "all"},
}
"""Options of the heads that become one linear layer."""

HOSTILE = (
    *("weight", "bias", "lora_A", "lora_B", "head.", "head.weight", "classifier", "base_model.model.", "num_classes"),
    *("../../etc/passwd", "C:\\con", "", " ", ".", "---", "# Title", "| a | b |", "[x](y)", "<script>1</script>"),
    *(
        "{name}",
        "%s",
        "${HOME}",
        "$(id)",
        "`id`",
        '"',
        "'",
        "\\",
        "a\nb",
        "\x00",
        "\u202eright to left",
        "日本語",
        "🦊",
    ),
    *("null", "NaN", "1e5", "__class__"),
)
"""Names that could be taken for something else than a name."""


def small(name: str) -> Backbone:
    """Return a tiny backbone by the name of its class in transformers, or ours."""
    return backbone_of(make(name)) if name in MODELS else load_backbone(name)


def taught(
    method: str = "sdlora",
    *sizes: int,
    backbone: Backbone | None = None,
    classes: tuple[str, ...] | None = None,
    **options: Any,
) -> Parts:
    """Return the parts of a method that has learned tasks of these sizes (3 and 2 if none are given)."""
    sizes = sizes or (3, 2)
    learned = teach(
        METHODS.get(method)(copy.deepcopy(backbone or small("untrained_vit")), **options), make_tasks(*sizes)
    )
    names = classes or tuple(f"class {index}" for index in range(sum(sizes)))
    return Parts(learned.eval(), names)
