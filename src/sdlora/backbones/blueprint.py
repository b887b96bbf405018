"""What a vision transformer that no name leads to is built from: bounded numbers, truth values and names out of lists.

A blueprint stands in a document that somebody else may have written. It names no file, no module and no function; what
a name in it means is decided in `timm_blueprint` and `hugging_face_blueprint` alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_PATCHES = 2**14  # 1024 pixels in patches of 8; attention takes the square of it

Side = Annotated[int, Field(ge=1, le=4096)]
Width = Annotated[int, Field(ge=1, le=16_384)]
Inner = Annotated[int, Field(ge=1, le=65_536)]
Depth = Annotated[int, Field(ge=1, le=200)]
Heads = Annotated[int, Field(ge=1, le=1024)]
Epsilon = Annotated[float, Field(ge=0, le=1)]
Norm = Literal["LayerNorm", "LayerNormFp32", "RmsNorm", "RmsNormFp32", "SimpleNorm", "SimpleNormFp32", "nn.LayerNorm"]


class Blueprint(BaseModel, ABC):
    """What both kinds have in common; abstract.

    Attributes:
        image_size: Side of the square that positions were learned for, pixels.
        patch_size: Side of a patch, pixels.
        width: Of the tokens.
        depth: Number of blocks.
        num_heads: Attention heads of each block; they divide the width.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    image_size: Side
    patch_size: Side
    width: Width
    depth: Depth
    num_heads: Heads

    def check_image_size(self, side: int) -> None:
        """Refuse images that the model cannot be given.

        Raises:
            ValueError: If it takes none of that side, or too many patches would come of it.
        """
        if side != self.image_size and not self.takes(side):
            raise ValueError(f"images of {side} pixels for a model of {self.image_size}")
        if (side // self.patch_size) ** 2 > MAX_PATCHES:
            raise ValueError(f"images of {side} pixels in patches of {self.patch_size} are more than {MAX_PATCHES}")

    @abstractmethod
    def takes(self, side: int) -> bool:
        """Whether the model can be given images of another side than its own."""

    @model_validator(mode="after")
    def _check_sizes(self) -> Blueprint:
        if self.width % self.num_heads:
            raise ValueError(f"{self.num_heads} heads do not divide a width of {self.width}")
        if self.image_size < self.patch_size:
            raise ValueError(f"patches of {self.patch_size} pixels in an image of {self.image_size}")
        self.check_image_size(self.image_size)
        return self


class TimmBlueprint(Blueprint):
    """timm's ``VisionTransformer``: the arguments of its constructor that decide what it computes after training.

    Attributes:
        library: Says that it is timm's.
        block: Kind of block.
        stem: What turns an image into tokens.
        mlp: Kind of the perceptron in a block.
        mlp_dim: Width inside it.
        activation: In it.
        norm: Kind of all normalisations.
        norm_eps: Their epsilon.
        stem_norm: Kind of a normalisation in the stem, or None.
        stem_norm_eps: Its epsilon.
        global_pool: How tokens become features.
    """

    library: Literal["timm"] = "timm"
    block: Literal["Block", "ResPostBlock"]
    stem: Literal["PatchEmbed", "ConvStem"]
    mlp: Literal["Mlp", "GluMlp", "SwiGLUPacked", "SwiGLU"]
    mlp_dim: Inner
    activation: Literal["GELU", "GELUTanh", "QuickGELU", "SiLU", "ReLU", "Mish", "Sigmoid", "Tanh"]
    norm: Norm
    norm_eps: Epsilon
    stem_norm: Norm | None
    stem_norm_eps: Epsilon | None
    global_pool: Literal["", "avg", "avgmax", "max", "token", "map", "prr"]
    pool_include_prefix: bool
    qkv_bias: bool
    qk_norm: bool
    scale_attn_norm: bool
    scale_mlp_norm: bool
    proj_bias: bool
    layer_scale: bool
    class_token: bool
    reg_tokens: Annotated[int, Field(ge=0, le=1024)]
    has_pos_embed: bool
    no_embed_class: bool
    pre_norm: bool
    final_norm: bool
    fc_norm: bool
    dynamic_img_size: bool
    dynamic_img_pad: bool

    def takes(self, side: int) -> bool:
        whole = side >= self.patch_size and side % self.patch_size == 0
        return self.dynamic_img_size and (whole or self.dynamic_img_pad)

    @model_validator(mode="after")
    def _check_parts(self) -> TimmBlueprint:
        if self.global_pool == "token" and not self.class_token:
            raise ValueError("the features are a class token that there is none of")
        if (self.stem_norm is None) != (self.stem_norm_eps is None):
            raise ValueError("a normalisation of the stem and its epsilon go together")
        if self.stem == "ConvStem" and (self.patch_size != 8 or self.width % 32 or self.dynamic_img_size):
            raise ValueError("a stem of convolutions makes patches of 8 pixels, and widths of a multiple of 32")
        if self.mlp == "SwiGLUPacked" and self.mlp_dim % 2:
            raise ValueError(f"a width of {self.mlp_dim} cannot be halved")
        return self


class HuggingFaceBlueprint(Blueprint):
    """An image classifier of the transformers library, by the values of its configuration.

    Attributes:
        library: Says that it is of transformers.
        model_type: As in `sdlora.backbones.hugging_face.KINDS`.
        attention: How attention is computed.
        mlp_dim: Width inside the perceptrons of ViT and CLIP, else None.
        mlp_ratio: That width over the width of the tokens, DINOv2, else None.
        activation: In the perceptrons.
        norm_eps: Epsilon of all normalisations.
    """

    library: Literal["transformers"] = "transformers"
    model_type: Literal["vit", "dinov2", "clip"]
    attention: Literal["sdpa", "eager"]
    mlp_dim: Inner | None
    mlp_ratio: Annotated[int, Field(ge=1, le=64)] | None
    activation: Literal["gelu", "gelu_new", "gelu_pytorch_tanh", "quick_gelu", "silu", "relu"]
    norm_eps: Epsilon
    qkv_bias: bool
    use_swiglu_ffn: bool
    use_mask_token: bool

    def takes(self, side: int) -> bool:
        return self.model_type == "dinov2" and side >= self.patch_size  # which stretches its positions

    @model_validator(mode="after")
    def _check_inner(self) -> HuggingFaceBlueprint:
        if (self.mlp_ratio is None) != (self.model_type != "dinov2") or (self.mlp_dim is None) == (
            self.mlp_ratio is None
        ):
            raise ValueError("DINOv2 has a ratio of widths, ViT and CLIP have a width")
        return self


AnyBlueprint = Annotated[TimmBlueprint | HuggingFaceBlueprint, Field(discriminator="library")]
