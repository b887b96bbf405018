"""What a learner is between two lessons, and how methods are made, copied, stored and brought back."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from torch import Tensor, nn

from sdlora.adapters.merge import merge_
from sdlora.backbones.vit import SHIPPED, Backbone, backbone_of, load_backbone
from sdlora.bundle import BackboneSource, Description, TaskRecord
from sdlora.config.signature import section_of, words
from sdlora.datasets.images import printable
from sdlora.engine.checkpoint import check_weights, load_state
from sdlora.engine.seeding import seeded
from sdlora.errors import BundleError, ConfigError, NumericalError, RunError
from sdlora.learner.own_backbone import restored
from sdlora.methods import METHODS, Method
from sdlora.registry import nearest
from sdlora.task import Task


@dataclass(frozen=True)
class State:
    """A learner between two lessons; nothing in it changes any more.

    Attributes:
        method: What has learned.
        description: What is known about it; None before the first lesson.
        predictor: Computes the same with merged weights where the method merges.
    """

    method: Method
    description: Description | None
    predictor: Method

    @classmethod
    def of(cls, method: Method, description: Description | None) -> State:
        """Return the state of a method that has learned what the description says."""
        return cls(method.eval(), description, predictor_of(method))


def on_backbone(state: State, source: BackboneSource) -> State:
    """Return a state that says of its backbone what `source` says."""
    assert state.description is not None
    return State(state.method, state.description.model_copy(update={"backbone": source}), state.predictor)


def as_backbone(backbone: str | Backbone | nn.Module | None) -> Backbone:
    """Return the backbone that a name, a model or nothing (the shipped one) stands for."""
    if backbone is None:
        return load_backbone(SHIPPED)
    if isinstance(backbone, str):
        return load_backbone(backbone)
    return backbone if isinstance(backbone, Backbone) else backbone_of(backbone)


def make_method(name: str, backbone: Backbone, options: Mapping[str, Any], seed: int) -> Method:
    """Construct a method for lessons without end.

    Raises:
        ConfigError: If there is no such method or option, or it cannot learn lesson by lesson.
    """
    kind = METHODS.get(name)
    if kind.joint:
        raise ConfigError(f"{name} learns everything at once", expected="a method that learns one lesson after another")
    section = section_of(kind)
    try:
        checked = section.model_validate({key: _as_tuple(value) for key, value in options.items()})
    except ValidationError as error:
        key = str(error.errors()[0]["loc"][0])
        if key in section.model_fields:
            raise ConfigError(f"{key} = {options[key]!r}", expected=words(section.model_fields[key])) from error
        close = nearest(key, list(section.model_fields))
        raise ConfigError(
            f"{name} has no option {key}",
            expected=f"one of {', '.join(section.model_fields)}" if section.model_fields else "no options",
            fix=f"did you mean {close}?" if close else None,
        ) from error
    with seeded(seed, "method"):
        return kind(backbone, **{key: getattr(checked, key) for key in options})


def copy_method(method: Method) -> Method:
    """Return a copy to be taught; frozen pretrained weights are shared with it, for nothing ever changes them."""
    shared = [
        parameter
        for name, parameter in method.named_parameters(remove_duplicate=False)
        if name.startswith("backbone.") and not parameter.requires_grad
    ]
    return copy.deepcopy(method, {id(parameter): parameter for parameter in shared})


def predictor_of(method: Method) -> Method:
    """Return a method that shares all weights and computes the same, with adapters folded into plain layers."""
    tensors = [*method.parameters(), *method.buffers()]
    predictor = copy.deepcopy(method, {id(tensor): tensor for tensor in tensors})
    if method.mergeable:
        merge_(predictor.backbone.model)
    return predictor.eval()


def restore(description: Description, tensors: Mapping[str, Tensor], backbone: Backbone) -> Method:
    """Return the method that a bundle describes; nothing is executed, imported or fetched because it says so.

    Args:
        description: What the bundle says.
        tensors: What was learned.
        backbone: As `backbone_in` returns it; it is taken over, and its numbers stay what they are.

    Raises:
        BundleError: If the tensors are not those of such a method.
    """
    try:
        method = make_method(description.method.name, backbone, description.method.options, description.seed)
        with seeded("load"):
            _replay(method, description)
    except Exception as error:  # a constructor may raise whatever it likes on options that nobody has tried
        raise BundleError(f"the bundle describes no method that can be built: {printable(str(error))}") from error
    method = copy_method(method)  # what it trains in the backbone is its own
    _load(method, tensors)
    return method.eval()


def is_named(backbone: Backbone) -> bool:
    """Whether its name leads to a backbone, so that a bundle needs to store no more of it."""
    try:
        return load_backbone(backbone.name).sha256 == backbone.sha256
    except (ConfigError, OSError):  # there is no such name, or it cannot be fetched
        return False


def begins_task(record: TaskRecord) -> bool:
    """Whether a lesson was a task to the method: one with new classes."""
    return bool(record.classes)


def _replay(method: Method, description: Description) -> None:
    index = offset = 0
    for record in description.tasks:
        if begins_task(record):
            method.begin_task(Task(index, record.classes, offset))
            index += 1
        offset += len(record.classes)


def backbone_in(description: Description, base: Mapping[str, Tensor] | None) -> Backbone:
    """Return the backbone that a bundle names or holds.

    Args:
        description: What the bundle says.
        base: Weights of the backbone if it holds one; they are taken over.

    Raises:
        BundleError: If it cannot be had, or is another one.
    """
    source = description.backbone
    try:
        backbone = load_backbone(source.name) if base is None else restored(source, base, description.preprocessing)
    except ConfigError as error:
        raise BundleError(f"the backbone of the bundle cannot be loaded: {error}") from error
    except OSError as error:
        raise BundleError(
            f"the bundle needs the backbone {source.name}, which is not here and cannot be fetched",
            fix="run any command on it once while online",
        ) from error
    if backbone.sha256 != source.sha256:
        raise BundleError(
            f"the bundle was taught on {source.name} with sha256 {source.sha256[:8]}; the one here has "
            f"{backbone.sha256[:8]}",
            fix="install the version of sdlora and timm that wrote it" if base is None else None,
        )
    backbone.normalise_by_(description.preprocessing.mean, description.preprocessing.std)
    return backbone


def _load(method: Method, tensors: Mapping[str, Tensor]) -> None:
    try:
        load_state(method, tensors)
        check_weights(method)
    except (RunError, NumericalError) as error:
        raise BundleError(f"the weights of the bundle do not fit its method: {error.what}") from error


def _as_tuple(value: Any) -> Any:
    return tuple(map(_as_tuple, value)) if isinstance(value, list | tuple) else value
