"""Print how good the shipped backbone is: the table of docs/backbone.md.

Run: python scripts/score_glyph_vit.py        (about a minute)
"""

from __future__ import annotations

from importlib import resources

import torch
from pretrain_glyph_vit import score
from safetensors.torch import load

from sdlora.datasets.glyphs import characters, draw_masters


def main() -> None:
    data = resources.files("sdlora.backbones").joinpath("weights/glyph_vit.safetensors").read_bytes()
    weights = {key: value.float() for key, value in load(data).items()}
    figures = score(weights, torch.from_numpy(draw_masters(characters()["other"])))
    print("| measured on | accuracy |")
    print("|---|---|")
    print(f"| its own 1,461 characters, freshly distorted | {100 * figures['own_characters']:.1f} % |")
    print(f"| scikit-learn's real digits, class means alone | {100 * figures['digits_class_means']:.1f} % |")
    print(f"| 100 held-out characters, class means alone | {100 * figures['held_out_class_means']:.1f} % |")


if __name__ == "__main__":
    main()
