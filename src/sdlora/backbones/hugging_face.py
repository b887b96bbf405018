"""Vision transformers of the transformers library as backbones: ViT, DINOv2, and the vision tower of CLIP.

The library's own image classifier of each kind is taken, without its last linear layer; so features are what that layer
was given: the class token of a ViT, class token and mean patch of DINOv2 side by side, the mean patch of CLIP.

Weights named ``hf:owner/name`` are read from the local cache and never fetched: `FETCH` fetches them. Only safetensors
are read, and no code that lies beside them.
"""

from __future__ import annotations

import copy
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from torch import Tensor, nn

from sdlora.backbones.family import Family
from sdlora.errors import ConfigError
from sdlora.files import read_json

PREFIX = "hf:"
NAME = re.compile(r"hf:(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w.-]+))?", re.ASCII)
FETCH = 'hf download {repo} --include "*.json" --include "*.safetensors"'
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

    def behead(self, model: nn.Module) -> None:
        model.classifier = nn.Identity()

    def feature_dim(self, model: nn.Module) -> int:
        return kind_of(model).num_parts * int(_tower(model).config.hidden_size)

    def image_size(self, model: nn.Module) -> int:
        return preprocessing(model).image_size

    def tokens(self, model: nn.Module, images: Tensor) -> Tensor:
        return _tower(model)(pixel_values=images).last_hidden_state  # type: ignore[no-any-return]

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
    return _kind(str(config.model_type).removesuffix("_vision_model"), type(model).__name__)


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


def read_from_cache(name: str) -> tuple[nn.Module, Preprocessing]:
    """Read an image classifier without its last layer from the local cache of Hugging Face.

    Args:
        name: ``"hf:owner/name"``, or with ``@revision`` behind it.

    Raises:
        ConfigError: If the name is none, the cache does not have it, or it is none of `KINDS`.
    """
    folder = _find(name)
    transformers = import_transformers()
    try:
        document = read_json(folder / "config.json")
        processor = (
            read_json(folder / "preprocessor_config.json") if (folder / "preprocessor_config.json").exists() else None
        )
    except ValueError as error:
        raise ConfigError(f"{name}: {error}", fix=FETCH.format(repo=name.removeprefix(PREFIX))) from error
    model_type = str(document.get("model_type", "")) if isinstance(document, dict) else ""
    kind = _kind(model_type.removesuffix("_vision_model"), name)
    if model_type != "clip" and kind is KINDS["clip"]:  # a tower stored alone
        tower = _load(getattr(transformers, kind.tower), folder, name)
        model = as_classifier(tower)
    else:
        model = _load(getattr(transformers, kind.classifier), folder, name, num_labels=0)
    return model, preprocessing(model, processor)


def import_transformers() -> Any:
    """Return the library.

    Raises:
        ConfigError: If it is not installed.
    """
    try:
        import transformers
    except ImportError as error:
        raise ConfigError("a Hugging Face backbone needs transformers", fix='pip install "sdlora[hf]"') from error
    return transformers


def _load(classifier: Any, folder: Path, name: str, **options: Any) -> nn.Module:
    """Load weights strictly: nothing may be missing, nothing may be executed."""
    from transformers.utils import logging as chatter

    verbosity = chatter.get_verbosity()
    chatter.set_verbosity(logging.ERROR)  # it would list the last layer as unused
    try:
        model, found = classifier.from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            trust_remote_code=False,
            dtype=torch.float32,
            output_loading_info=True,
            **options,
        )
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigError(f"{name} cannot be read: {error}", expected="complete weights in safetensors") from error
    finally:
        chatter.set_verbosity(verbosity)
    missing = sorted(found["missing_keys"])
    if missing:
        raise ConfigError(f"{name} lacks {len(missing)} weights, such as {missing[0]}", expected="a complete model")
    return model  # type: ignore[no-any-return]


def _find(name: str) -> Path:
    """Return the folder of a snapshot in the local cache."""
    found = NAME.fullmatch(name)
    if not found:
        raise ConfigError(f'backbone "{name}" names no repository', expected="hf:owner/name, or hf:owner/name@revision")
    try:
        return Path(snapshot_download(found["repo"], revision=found["revision"], local_files_only=True))
    except LocalEntryNotFoundError as error:
        raise ConfigError(
            f"{name} is not in the local cache, and nothing is fetched because of a name",
            fix=FETCH.format(repo=found["repo"]) + (f" --revision {found['revision']}" if found["revision"] else ""),
        ) from error


def _kind(model_type: str, what: str) -> Kind:
    if model_type not in KINDS:
        raise ConfigError(f'{what} is of type "{model_type}"', expected=_known())
    return KINDS[model_type]


def _known() -> str:
    return "a model of type " + ", ".join(f"{name} ({kind.tower})" for name, kind in KINDS.items())


def _tower(model: nn.Module) -> Any:
    return getattr(model, kind_of(model).attribute)
