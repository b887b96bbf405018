"""Pretrained vision transformers as feature extractors.

An image enters as float in 0..1 and is normalised here with the backbone's own mean and deviation, so nothing outside
can normalise it twice or not at all.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import lru_cache
from importlib import resources
from typing import Any, Literal, cast

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import load
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from sdlora.backbones.family import Family
from sdlora.backbones.glyph_vit import glyph_vit
from sdlora.backbones.hugging_face import HuggingFaceViT, as_classifier, is_of_transformers, preprocessing
from sdlora.backbones.hugging_face_cache import PREFIX, read_from_cache
from sdlora.backbones.layer_classifier import token_statistics
from sdlora.backbones.timm_vit import TimmViT
from sdlora.errors import BackboneError, ConfigError, DataError
from sdlora.randomness import hash_key, permutation
from sdlora.registry import nearest

SHIPPED = "glyph_vit"
UNTRAINED = "untrained_vit"

STATISTICS = 3
"""Class token, mean and deviation of the patch tokens: what `Backbone.layer_features` takes from a block."""

MOST_FEATURES = 4096
"""Of `Backbone.layer_features`, at most."""


class Backbone(nn.Module):
    """A vision transformer and its input normalisation.

    Args:
        model: A timm ``VisionTransformer``, or one of the models in `sdlora.backbones.hugging_face`. It is taken over:
            frozen, in evaluation mode, without its classifier.
        name: What recipes and manifests call it.
        mean: Per-channel mean of its training images, fraction.
        std: Per-channel standard deviation, fraction.
        sha256: Digest of its weights; computed when absent.
        image_size: Side of the square input, pixels; the model's own when absent.

    Shape:
        Input (N, 3, H, W) float in 0..1; output features (N, D): what the model's own classifier was given.

    Raises:
        ConfigError: If the model is none of these.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        *,
        name: str,
        mean: Sequence[float] = (0.5, 0.5, 0.5),
        std: Sequence[float] = (0.5, 0.5, 0.5),
        sha256: str | None = None,
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        self.family = _family(model)
        model = self.family.behead(model)
        self.model = model.eval().requires_grad_(False)
        self.name = name
        self.sha256 = sha256 or digest(model)
        self.image_size = image_size or self.family.image_size(model)
        self.register_buffer("mean", torch.tensor(mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(1, 3, 1, 1), persistent=False)

    @property
    def feature_dim(self) -> int:
        """Width D of the features."""
        return self.family.feature_dim(self.model)

    @property
    def blocks(self) -> list[nn.Module]:
        """Its transformer blocks, first to last."""
        return self.family.blocks(self.model)

    def normalise(self, images: Tensor) -> Tensor:
        """Map images from 0..1 to the range the model was pretrained on."""
        return (images - self.mean) / self.std

    def tokens(self, images: Tensor) -> Tensor:
        """Return all tokens (N, L, D) after the final norm."""
        return self.family.tokens(self.model, self._checked(images))

    def forward(self, images: Tensor) -> Tensor:
        return self.family.features(self.model, self._checked(images))

    def layer_dim(self, num_layers: int, most: int = MOST_FEATURES) -> int:
        """Return the width of `layer_features` of so many blocks."""
        return min(STATISTICS * num_layers * self.family.token_dim(self.model), most)

    def last_blocks(self, count: int | Literal["all"]) -> tuple[int, ...]:
        """Return the indices of the last `count` blocks, in order.

        Raises:
            ConfigError: If there are not so many.
        """
        number = len(self.blocks)
        if count != "all" and not 1 <= count <= number:
            raise ConfigError(f"layers = {count}", expected=f'1 to {number}, the blocks of {self.name}, or "all"')
        return tuple(range(number))[-(number if count == "all" else count) :]

    def layer_features(self, images: Tensor, layers: Sequence[int], most: int = MOST_FEATURES) -> Tensor:
        """Return the `token_statistics` of some blocks.

        More than `most` are added up in so many groups, each with a random sign of its own (a count sketch): a
        fixed linear map, which keeps inner products on average, so that one layer behind it is one layer before it.

        Args:
            images: (N, 3, H, W), float in 0..1.
            layers: Indices of blocks, from 0, ascending.
            most: Width of what is returned, at most.

        Returns:
            (N, layer_dim(len(layers), most)).
        """
        tokens = self.family.block_tokens(self.model, self._checked(images), layers)
        return sketched(token_statistics(tokens, self.family.num_prefix_tokens(self.model)), most)

    def weight_before_sketch(self, weight: Tensor, num_layers: int) -> Tensor:
        """Return the weight (K, 3 * num_layers * D') on `token_statistics` of a layer on `layer_features`."""
        return unsketched(weight, STATISTICS * num_layers * self.family.token_dim(self.model))

    def normalise_by_(self, mean: Sequence[float], std: Sequence[float]) -> None:
        """Take other statistics than those it was pretrained with, such as 0 and 1 for images that stay in 0..1."""
        for buffer, values in ((self.mean, mean), (self.std, std)):
            buffer.copy_(torch.tensor(values).view(1, 3, 1, 1))

    def statistics(self) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return mean and deviation of each channel as they were given, to float32's own decimals."""
        mean, std = (tuple(float(str(x)) for x in buffer.flatten().cpu().numpy()) for buffer in (self.mean, self.std))
        return mean, std

    def _checked(self, images: Tensor) -> Tensor:
        """Return normalised images, all of the right size."""
        if images.shape[-1] != self.image_size or images.shape[-2] != self.image_size:
            raise DataError(
                f"images of {images.shape[-2]} x {images.shape[-1]} pixels for backbone {self.name}",
                expected=f"{self.image_size} x {self.image_size}",
            )
        return self.normalise(images)

    def train(self, mode: bool = True) -> Backbone:
        """Stay in evaluation mode: no method here uses dropout or drop-path in the backbone."""
        return super().train(False)


def sketched(features: Tensor, width: int) -> Tensor:
    """Return features (N, D) with their entries added up, with random signs, in `width` groups: (N, width).

    Up to that width they stay as they are. The same groups and signs for ever, on every device.
    """
    count = features.shape[1]
    if count <= width:
        return features
    order, signs = _groups(count, width)
    mixed = F.pad(features * signs.to(features), (0, -count % width))[:, order.to(features.device)]
    return mixed.view(len(features), -1, width).sum(dim=1)


def unsketched(weight: Tensor, count: int) -> Tensor:
    """Return the weight (K, count) whose products with features are those of `weight` (K, width) with the sketched."""
    width = weight.shape[1]
    if count <= width:
        return weight
    order, signs = _groups(count, width)
    spread = torch.empty_like(weight).new_zeros(len(weight), len(order))
    spread[:, order.to(weight.device)] = weight.repeat(1, len(order) // width)
    return spread[:, :count] * signs.to(weight)


@lru_cache
def _groups(count: int, width: int) -> tuple[Tensor, Tensor]:
    """Return an order of `count` entries, filled up to whole groups, and their signs."""
    order = permutation(hash_key("groups", count, width), count + -count % width)
    signs = permutation(hash_key("signs", count, width), count) % 2 * 2 - 1
    return torch.from_numpy(order), torch.from_numpy(signs)


def backbone_of(model: nn.Module, name: str = "custom") -> Backbone:
    """Make a backbone of a model that the caller built or loaded.

    Args:
        model: A timm ``VisionTransformer``; or, of the transformers library, a ViT, DINOv2 or CLIP model, with or
            without its classifier. Normalisation is what its timm configuration says, or what is usual for its kind;
            for another one make a `Backbone`.
        name: What manifests call it.

    Raises:
        ConfigError: If it is none of these.
    """
    if is_of_transformers(model):
        model = as_classifier(model)
        usual = preprocessing(model)
        return Backbone(model, name=name, mean=usual.mean, std=usual.std, image_size=usual.image_size)
    known = getattr(model, "pretrained_cfg", None) or {}
    given = {key: known[key] for key in ("mean", "std") if known.get(key)}
    return Backbone(model, name=name, **given)


def _family(model: nn.Module) -> Family:
    if isinstance(model, VisionTransformer):
        return TimmViT()
    if is_of_transformers(model):
        return HuggingFaceViT()
    raise ConfigError(
        f"a {type(model).__name__} cannot be a backbone",
        expected="a timm VisionTransformer, or a ViT, DINOv2 or CLIP vision model of transformers",
    )


def load_backbone(name: str, **options: Any) -> Backbone:
    """Build a backbone by name.

    Args:
        name: ``"glyph_vit"`` (shipped), ``"untrained_vit"`` (random and tiny, for trials and tests), or a timm name
            *with* its weight tag, such as ``"vit_base_patch16_224.augreg2_in21k_ft_in1k"``, or ``"hf:owner/name"`` in
            the local Hugging Face cache.
        options: Keyword arguments of `untrained_vit`, for that name alone.

    Raises:
        ConfigError: If the name is unknown, untagged, not a plain vision transformer, or would fetch by URL.
        BackboneError: If the shipped one is damaged.
    """
    if name == UNTRAINED:
        return untrained_vit(**options)
    if options:
        raise ConfigError(f"backbone {name} takes no options, got {', '.join(options)}")
    if name == SHIPPED:
        return shipped()
    if name.startswith(PREFIX):
        model, usual = read_from_cache(name)
        return Backbone(model, name=name, mean=usual.mean, std=usual.std, image_size=usual.image_size)
    return _from_timm(name)


def shipped() -> Backbone:
    """Load the backbone in this package, pretrained on rendered characters (docs/backbone.md).

    Raises:
        BackboneError: If its file is not there or does not have the recorded sha256.
    """
    reinstall = "pip install --force-reinstall --no-deps sdlora"
    try:
        data, expected = _read_weights()
    except (FileNotFoundError, IndexError) as error:
        raise BackboneError("the shipped backbone is not where it was installed", fix=reinstall) from error
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise BackboneError(
            f"the shipped backbone is damaged (sha256 {found[:8]}, expected {expected[:8]})", fix=reinstall
        )
    weights = {key: value.float() for key, value in load(data).items()}
    model = glyph_vit(num_classes=len(weights["head.bias"]))
    model.load_state_dict(weights)
    return Backbone(model, name=SHIPPED, sha256=found)


def _read_weights() -> tuple[bytes, str]:
    """Return the bytes of the shipped weights and their recorded sha256."""
    folder = resources.files("sdlora.backbones").joinpath("weights")
    recorded = folder.joinpath("glyph_vit.sha256").read_text(encoding="utf-8").split()[0]
    return folder.joinpath("glyph_vit.safetensors").read_bytes(), recorded


def untrained_vit(
    *, width: int = 32, depth: int = 2, num_heads: int = 2, image_size: int = 16, patch_size: int = 8, seed: int = 0
) -> Backbone:
    """Build a random vision transformer that starts in milliseconds."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VisionTransformer(
            img_size=image_size,
            patch_size=patch_size,
            embed_dim=width,
            depth=depth,
            num_heads=num_heads,
            num_classes=0,
        )
    return Backbone(model, name=UNTRAINED)


def _from_timm(name: str) -> Backbone:
    if ":" in name or "/" in name:
        raise ConfigError(f'backbone "{name}" names a place, not a timm model', expected="a timm name with its tag")
    base, _, tag = name.partition(".")
    if not timm.is_model(base):
        known = [SHIPPED, UNTRAINED, *timm.list_models("vit_*")]
        close = nearest(base, known)
        raise ConfigError(
            f'no backbone is called "{name}"',
            expected="glyph_vit, a timm vision transformer with its weight tag, or hf:owner/name",
            fix=f'did you mean "{close}"?' if close else "sdlora list backbones",
        )
    tags = [full.partition(".")[2] for full in timm.list_pretrained(f"{base}.*")]
    if tag not in tags:
        raise ConfigError(
            f'backbone "{name}" names no set of weights',
            expected=f"{base}.TAG with TAG one of {', '.join(tags)}" if tags else "a timm model with weights",
        )
    model = timm.create_model(name, pretrained=True)
    if not isinstance(model, VisionTransformer):
        raise ConfigError(f'backbone "{name}" is no timm VisionTransformer', expected="a vit_* model")
    config = cast(dict[str, Any], model.pretrained_cfg)
    return Backbone(model, name=name, mean=config["mean"], std=config["std"])


def digest(model: nn.Module) -> str:
    """Return the sha256 over names, shapes and bytes of a model's state."""
    total = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        total.update(f"{key}{tuple(value.shape)}{value.dtype}".encode())
        total.update(value.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return total.hexdigest()
