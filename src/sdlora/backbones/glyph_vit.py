"""The shape of the shipped backbone: timm's VisionTransformer behind a convolutional stem, 32 x 32 pixels.

With a plain patch embedding a model of this size learns nothing from its first hundred thousand characters; with a
few convolutions in front it learns from the start (arXiv 2106.14881 makes the same observation at scale).
"""

from __future__ import annotations

from typing import Any

from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn


class ConvStem(nn.Module):
    """Turn pictures into patch tokens by five 3 x 3 convolutions with a stride of eight in all.

    Shape:
        Input (N, 3, H, W), output (N, H / 8 * W / 8, embed_dim).
    """

    def __init__(self, img_size: int, patch_size: int, in_chans: int, embed_dim: int, **_: Any) -> None:
        super().__init__()
        self.img_size, self.patch_size = (img_size, img_size), (patch_size, patch_size)
        self.grid_size = (img_size // patch_size, img_size // patch_size)
        self.num_patches = self.grid_size[0] * self.grid_size[1]
        widths = (embed_dim // 4, embed_dim // 4, embed_dim // 2, embed_dim // 2, embed_dim)
        layers: list[nn.Module] = []
        for width, stride in zip(widths, (2, 1, 2, 1, 2), strict=True):
            layers += [nn.Conv2d(in_chans, width, 3, stride, 1, bias=False), nn.GroupNorm(8, width), nn.GELU()]
            in_chans = width
        self.layers = nn.Sequential(*layers)
        self.proj = nn.Conv2d(embed_dim, embed_dim, 1)

    def forward(self, images: Tensor) -> Tensor:
        return self.proj(self.layers(images)).flatten(2).transpose(1, 2)  # type: ignore[no-any-return]


def glyph_vit(num_classes: int = 0) -> VisionTransformer:
    """Build the architecture, untrained: width 192, 6 blocks, 6 heads, 16 patch tokens and a class token."""
    return VisionTransformer(
        img_size=32,
        patch_size=8,
        embed_dim=192,
        depth=6,
        num_heads=6,
        num_classes=num_classes,
        embed_layer=ConvStem,
    )
