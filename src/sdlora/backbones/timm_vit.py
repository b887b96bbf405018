"""timm's VisionTransformer as a backbone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from timm.layers.attention import Attention
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from sdlora.backbones.family import Family

FEW_TOKENS = 64  # below this, PyTorch's fused attention is slower than the explicit one in a CPU backward pass


class TimmViT(Family):
    """Features are the class token after the final norm (the mean token where the model was trained so)."""

    head_name = "head"

    def behead(self, model: nn.Module) -> nn.Module:
        vit = cast(VisionTransformer, model)
        vit.reset_classifier(0)
        if vit.patch_embed.num_patches <= FEW_TOKENS:
            for attention in vit.modules():
                if isinstance(attention, Attention):
                    attention.fused_attn = False  # type: ignore[misc]  # Final only for TorchScript
        return vit

    def feature_dim(self, model: nn.Module) -> int:
        return cast(VisionTransformer, model).num_features

    def image_size(self, model: nn.Module) -> int:
        return int(cast(VisionTransformer, model).patch_embed.img_size[0])

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        return list(cast(VisionTransformer, model).blocks)

    def tokens(self, model: nn.Module, images: Tensor) -> Tensor:
        return cast(VisionTransformer, model).forward_features(images)

    def token_dim(self, model: nn.Module) -> int:
        return cast(VisionTransformer, model).embed_dim

    def num_prefix_tokens(self, model: nn.Module) -> int:
        return cast(VisionTransformer, model).num_prefix_tokens

    def block_tokens(self, model: nn.Module, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
        vit = cast(VisionTransformer, model)
        found: Any = vit.forward_intermediates(
            images, indices=list(layers), return_prefix_tokens=True, output_fmt="NLC", intermediates_only=True
        )
        if not vit.num_prefix_tokens:
            return list(found)
        return [torch.cat([prefix, patches], dim=1) for patches, prefix in found]

    def features(self, model: nn.Module, images: Tensor) -> Tensor:
        return cast(VisionTransformer, model).forward_head(self.tokens(model, images), pre_logits=True)

    def set_head(self, model: nn.Module, head: nn.Linear, classes: Sequence[str]) -> None:
        vit: Any = model
        vit.head, vit.num_classes = head, len(classes)
        known = dict(getattr(vit, "pretrained_cfg", None) or {})
        vit.pretrained_cfg = {**known, "num_classes": len(classes), "label_names": list(classes)}
