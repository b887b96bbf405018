"""``README.md`` of an export: the model's own card, with how to use this form of it."""

from __future__ import annotations

from collections.abc import Mapping

from sdlora.export.parts import Parts

REPLACED = ("Use it", "Files")  # sections of a bundle's card that are about the bundle
LIBRARIES = {"timm": "timm", "peft": "peft", "onnx": "onnxruntime"}


def export_card(parts: Parts, target: str, use: str, files: Mapping[str, bytes]) -> bytes:
    """Return the card.

    Args:
        parts: What is exported; its card gives the sections on what it knows and what was measured.
        target: Format.
        use: How to use it, Markdown.
        files: What the folder holds besides the card.
    """
    _, _, rest = parts.card.partition("\n## ")
    sections = [section for section in rest.split("\n## ") if section.partition("\n")[0].strip() not in REPLACED]
    base = [line for line in parts.card.splitlines()[:20] if line.startswith("base_model: ")]
    front = ["---", f"library_name: {LIBRARIES[target]}", "pipeline_tag: image-classification", *base, "tags:"]
    listing = ["| file | bytes |", "|---|---:|", *(f"| {name} | {len(data)} |" for name, data in files.items())]
    known = [f"## {section.strip()}" for section in sections if rest]
    if not known:
        known = [f"## Recognises\n{len(parts.classes)} classes: `labels.json` names them in the order of the outputs."]
    paragraphs = [
        "\n".join([*front, "- sdlora", f"- {target}", "---"]),
        f"# An image classifier, exported to {target}",
        f"## Use it\n{use.strip()}",
        *known,
        "\n".join(["## Files", *listing]),
    ]
    return ("\n\n".join(paragraphs) + "\n").encode()
