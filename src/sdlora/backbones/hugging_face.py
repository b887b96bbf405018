"""Vision transformers of the transformers library as backbones: ViT, DINOv2, and the vision tower of CLIP.

The library's own image classifier of each kind is taken, without its last linear layer; so features are what that layer
was given: the class token of a ViT, class token and mean patch of DINOv2 side by side, the mean patch of CLIP.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from sdlora.backbones.family import Family
from sdlora.errors import ConfigError

TOWER_ALONE = "_vision_model"  # ends the type of a tower that is stored without the larger model
HALVES = (0.5, 0.5, 0.5)
IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Kind:
    """One kind of model.

    Attributes:
        classifier: Name of the library's image classifier.
        tower: Name of the model in it that turns images into tokens.
        attribute: Where the classifier, or a larger model, keeps the tower.
        num_parts: How many vectors of the tower's width make a feature.
        statistics: Mean and deviation of its images where no image processor states others, fractions.
        side: Side of its images where no image processor states another and it takes any, pixels.
    """

    classifier: str
    tower: str
    attribute: str
    num_parts: int = 1
    statistics: tuple[tuple[float, ...], tuple[float, ...]] = (HALVES, HALVES)
    side: int | None = None


KINDS = {
    "vit": Kind("ViTForImageClassification", "ViTModel", "vit"),
    # Its configuration names the 518 pixels of the end of pretraining; all published processors crop 224.
    "dinov2": Kind("Dinov2ForImageClassification", "Dinov2Model", "dinov2", 2, IMAGENET, 224),
    "clip": Kind("CLIPForImageClassification", "CLIPVisionModel", "vision_model", statistics=CLIP),
}
"""Kinds by the ``model_type`` of a configuration."""


@dataclass(frozen=True)
class Preprocessing:
    """What a backbone must know besides its model.

    Attributes:
        mean: Per-channel mean, fraction.
        std: Per-channel standard deviation, fraction.
        image_size: Side of the square input, pixels.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]
    image_size: int


class HuggingFaceViT(Family):
    """Image classifiers of the transformers library, see `KINDS`."""

    head_name = "classifier"

    def behead(self, model: nn.Module) -> nn.Module:
        classifier = as_classifier(model)
        classifier.classifier = nn.Identity()
        return classifier

    def feature_dim(self, model: nn.Module) -> int:
        return kind_of(model).num_parts * int(_tower(model).config.hidden_size)

    def image_size(self, model: nn.Module) -> int:
        return preprocessing(model).image_size

    def blocks(self, model: nn.Module) -> list[nn.Module]:
        # The library calls their list layer or layers, in the tower or in its encoder.
        lists = [list(part) for part in _tower(model).modules() if isinstance(part, nn.ModuleList)]
        return max(lists, key=len)

    def tokens(self, model: nn.Module, images: Tensor) -> Tensor:
        return _tower(model)(pixel_values=images).last_hidden_state  # type: ignore[no-any-return]

    def token_dim(self, model: nn.Module) -> int:
        return int(_tower(model).config.hidden_size)

    def num_prefix_tokens(self, model: nn.Module) -> int:
        return 1  # all kinds have a class token and nothing else in front

    def block_tokens(self, model: nn.Module, images: Tensor, layers: Sequence[int]) -> list[Tensor]:
        states = _tower(model)(pixel_values=images, output_hidden_states=True).hidden_states  # the embedding first
        return [states[layer + 1] for layer in layers]

    def features(self, model: nn.Module, images: Tensor) -> Tensor:
        return model(pixel_values=images).logits  # type: ignore[no-any-return]

    def set_head(self, model: nn.Module, head: nn.Linear, classes: Sequence[str]) -> None:
        classifier: Any = model
        config = classifier.config
        classifier.classifier, classifier.num_labels = head, len(classes)
        config.id2label = dict(enumerate(classes))
        config.label2id = {name: index for index, name in enumerate(classes)}


def is_of_transformers(model: nn.Module) -> bool:
    """Return whether the transformers library made a model; it is not imported to find out."""
    return any(cls.__module__.partition(".")[0] == "transformers" for cls in type(model).__mro__)


def kind_of(model: nn.Module) -> Kind:
    """Return the kind of a model, or of the model it is a part of.

    Raises:
        ConfigError: If it is none of `KINDS`.
    """
    config: Any = model.config
    return kind_named(str(config.model_type), type(model).__name__)


def as_classifier(model: nn.Module) -> nn.Module:
    """Return the library's image classifier around a tower, or around the tower of a larger model.

    An image classifier is returned as it is. The tower is taken over, less the pooling layer that no classifier uses.

    Raises:
        ConfigError: If there is no such tower in it.
    """
    import transformers

    kind = kind_of(model)
    if type(model).__name__ == kind.classifier:
        return model
    tower: Any = model if type(model).__name__ == kind.tower else getattr(model, kind.attribute, None)
    if type(tower).__name__ != kind.tower:
        raise ConfigError(f"there is no {kind.tower} in a {type(model).__name__}", expected=_known())
    if hasattr(tower, "pooler"):
        tower.pooler = None
    config = copy.deepcopy(tower.config)
    if kind is KINDS["clip"]:
        config = transformers.CLIPConfig(text_config={}, vision_config=config.to_dict())
    config.num_labels = 0
    with torch.device("meta"):  # all its weights are about to be replaced
        made: nn.Module = getattr(transformers, kind.classifier)(config)
    setattr(made, kind.attribute, tower)
    return made


def preprocessing(model: nn.Module, processor: Mapping[str, Any] | None = None) -> Preprocessing:
    """Return what the image processor of a model says, and where it says nothing, what is usual for its kind.

    Args:
        model: A classifier of one of `KINDS`.
        processor: Content of ``preprocessor_config.json``.

    Raises:
        ConfigError: If images would be scaled otherwise than to 0..1 before they are normalised.
    """
    kind, processor = kind_of(model), processor or {}
    scale = float(processor.get("rescale_factor") or 1 / 255)
    if not processor.get("do_rescale", True) or abs(scale * 255 - 1) > 1e-3:
        raise ConfigError("its image processor does not scale levels of 0 to 255 to 0..1", expected="1/255")
    mean, std = kind.statistics
    if not processor.get("do_normalize", True):
        mean, std = (0.0,) * 3, (1.0,) * 3
    else:
        mean, std = (tuple(processor.get(key) or usual) for key, usual in (("image_mean", mean), ("image_std", std)))
    native = int(_tower(model).config.image_size)
    if kind.side is None:
        return Preprocessing(mean, std, native)
    stated = processor.get("crop_size") or processor.get("size") or {}
    side = stated if isinstance(stated, int) else stated.get("height", stated.get("shortest_edge"))
    return Preprocessing(mean, std, int(side or min(native, kind.side)))


def kind_named(model_type: str, what: str) -> Kind:
    """Return the kind of a ``model_type``; `what` is what an error calls the model.

    Raises:
        ConfigError: If there is none.
    """
    model_type = model_type.removesuffix(TOWER_ALONE)
    if model_type not in KINDS:
        raise ConfigError(f'{what} is of type "{model_type}"', expected=_known())
    return KINDS[model_type]


def _known() -> str:
    return "a model of type " + ", ".join(f"{name} ({kind.tower})" for name, kind in KINDS.items())


def _tower(model: nn.Module) -> Any:
    return getattr(model, kind_of(model).attribute)
