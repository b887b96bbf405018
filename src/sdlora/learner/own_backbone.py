"""A backbone that no name leads to: what a bundle says of it, and the bytes from which it comes back."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from pydantic import ValidationError
from torch import Tensor

from sdlora.backbones.builder import blueprint_of, built, outline
from sdlora.backbones.vit import Backbone
from sdlora.bundle import BackboneSource, Base, Preprocessing
from sdlora.bundle.weights import read_weights
from sdlora.datasets.images import printable
from sdlora.errors import BundleError, ConfigError
from sdlora.files import digest, tensor_bytes

NUM_IMAGES = 2  # made up, to compare features on


class OwnBackbone:
    """A backbone as it was before a method put anything into it; all numbers are shared with the one in use.

    Args:
        backbone: Nothing was put into it yet.
        source: What a bundle says of it, if it came from one.
    """

    def __init__(self, backbone: Backbone, source: BackboneSource | None = None) -> None:
        numbers = [*backbone.parameters(), *backbone.buffers()]
        self._plain = copy.deepcopy(backbone, {id(number): number for number in numbers})
        self._source = source

    @property
    def source(self) -> BackboneSource:
        """What a bundle says of it.

        The first time it is proved: built from its blueprint and bytes, it gives the same features, bit for bit.

        Raises:
            ConfigError: If it does not, or something in it has no place in a blueprint.
        """
        if self._source is None:
            self._source = _proved(self._plain)
        return self._source

    def give(self) -> bytes:
        """Return the file of its weights, the same bytes every time.

        Raises:
            ConfigError: If it was changed since it was saved first.
        """
        data = tensor_bytes(self._plain.model.state_dict())
        if self.source.base is None or digest(data) != self.source.base.sha256:
            raise _refusal(self._plain, "its weights were changed after they were given to the learner")
        return data


def restored(source: BackboneSource, tensors: Mapping[str, Tensor], seen: Preprocessing) -> Backbone:
    """Return the backbone that lies in a bundle; it takes its weights over.

    Raises:
        BundleError: If it cannot be built, or takes no such images.
    """
    assert source.base is not None
    try:
        source.base.blueprint.check_image_size(seen.image_size)
        model = built(source.base.blueprint, aligned(tensors))
    except ValueError as error:
        raise BundleError(f"the backbone in the bundle cannot be built: {printable(str(error))}") from error
    return Backbone(model, name=source.name, mean=seen.mean, std=seen.std, image_size=seen.image_size)


def aligned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return copies that lie where PyTorch lays tensors, so that all sums come out as they always do."""
    return {name: tensor.clone() for name, tensor in tensors.items()}


def _proved(plain: Backbone) -> BackboneSource:
    """Return what a bundle says of a backbone, after it was brought back as loading does and compared."""
    given = copy.deepcopy(plain).cpu()
    try:
        blueprint = blueprint_of(given.model)
        blueprint.check_image_size(given.image_size)
        data = tensor_bytes(given.model.state_dict())
        model = built(blueprint, aligned(read_weights(data, outline(blueprint).state_dict())))
        sha256 = digest(data)
        base = Base(file=f"base-{sha256[:16]}.safetensors", size=len(data), sha256=sha256, blueprint=blueprint)
        source = BackboneSource(name=given.name, sha256=given.sha256, base=base)
    except ValidationError as error:
        raise _refusal(plain, _first(error)) from error
    except ValueError as error:
        raise _refusal(plain, str(error)) from error
    mean, std = given.statistics()
    made = Backbone(model, name=given.name, mean=mean, std=std, image_size=given.image_size)
    if made.sha256 != given.sha256:
        raise _refusal(plain, f"its weights have sha256 {made.sha256[:8]}, not {given.sha256[:8]} as it states")
    if not _agree(given, made):
        raise _refusal(plain, "built anew from sizes and weights it computes other features")
    return source


@torch.no_grad()
def _agree(given: Backbone, made: Backbone) -> bool:
    """Whether two backbones give the same features of made-up images, bit for bit."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(NUM_IMAGES, 3, given.image_size, given.image_size, generator=generator)
    return torch.equal(given(images), made(images))


def _first(error: ValidationError) -> str:
    found = error.errors()[0]
    return (
        f"{found['loc'][0]} = {str(found['input'])[:50]!r}: {found['msg']}"
        if found["loc"]
        else found["msg"].removeprefix("Value error, ")
    )


def _refusal(backbone: Backbone, what: str) -> ConfigError:
    return ConfigError(
        f'the backbone "{printable(backbone.name)}" cannot be saved in a bundle: {printable(what)}',
        expected="a name from sdlora list backbones, a plain VisionTransformer of timm, "
        "or a ViT, DINOv2 or CLIP model of transformers",
        fix="keep learner.merge(), which is the whole model",
    )
