"""A learner's way into a bundle, and back to what was before."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from sdlora.bundle import (
    BundleConfig,
    Description,
    TaskRecord,
    check_free,
    commit_lesson,
    earlier_states,
    is_bundle,
    read_config,
    read_generation,
    writing,
)
from sdlora.engine.checkpoint import stored_state
from sdlora.errors import BundleError
from sdlora.learner.own_backbone import OwnBackbone
from sdlora.learner.state import State, backbone_in, restore


@dataclass(frozen=True)
class Origin:
    """The generation of a bundle that a learner was loaded from, or saved as.

    Attributes:
        path: The bundle.
        config: The generation.
        state: What the learner was then.
    """

    path: Path
    config: BundleConfig
    state: State

    @classmethod
    def of(cls, path: Path, config: BundleConfig, state: State) -> Origin:
        """Return the origin with the folder's real path."""
        return cls(Path(os.path.realpath(path)), config, state)

    @property
    def generation(self) -> int:
        """Its number."""
        return self.config.generation

    @property
    def version(self) -> str:
        """Its version."""
        return self.config.version


def store(path: Path, state: State, earlier: State | None, origin: Origin | None, own: OwnBackbone | None) -> Origin:
    """Add a state to a bundle, and before it the earlier one where the bundle does not hold that yet.

    So the last lesson can be undone in the bundle too, even if it holds two that were never saved before.

    Args:
        path: The bundle.
        state: What is to be in it.
        earlier: The state before the last lesson, where it is known.
        origin: Where the learner came from.
        own: Its backbone, if no name leads to it.

    Raises:
        ConfigError: If that backbone was changed.
        BundleError: If the bundle holds other lessons.
        BusyError: If another process is its writer, or changes it at this moment.
        StorageError: If it cannot be written.
    """
    assert state.description is not None
    with writing(path):
        there = read_config(path) if is_bundle(path) else None
        if there is not None and described(there) == state.description:
            return Origin.of(path, there, state)
        if there is not None and not _is_child(path, there, state.description, origin):
            raise _other_lessons(path, there.tasks, state.description.tasks)
        if earlier is not None and not _is_held(earlier, there):
            there = _commit(path, earlier, there, own)
        return Origin.of(path, _commit(path, state, there, own), state)


def version_of(state: State, origin: Origin | None) -> str:
    """Return generation and four digits of the weights' sha256; of a state that is not saved yet, as if it were."""
    if state.description is None:
        return "0"
    if origin is not None and origin.state is state:
        return origin.version
    generation = origin.generation + 1 if origin else 1
    return f"{generation}-{state.description.tasks[-1].weights[:4]}"


def check_target(path: Path, history: Sequence[TaskRecord]) -> None:
    """Refuse a folder that could not take the next lesson after those in `history`, before anybody teaches it.

    Raises:
        BundleError: If there is a bundle of other lessons, or something else.
    """
    if not is_bundle(path):
        check_free(path)
        return
    there = read_config(path)
    if [task.weights for task in there.tasks] != [task.weights for task in history[: len(there.tasks)]]:
        raise _other_lessons(path, there.tasks, history)


def earlier_state(origin: Origin, description: Description, device: torch.device) -> State | None:
    """Return the newest state without the last lesson of a description that was loaded or that the bundle keeps.

    Raises:
        BundleError: If it is damaged.
    """

    def is_earlier(config: BundleConfig) -> bool:
        return len(config.tasks) < len(description.tasks) and description.continues(config)

    if is_earlier(origin.config):
        return origin.state
    found = next(filter(is_earlier, earlier_states(origin.path, origin.config)), None)
    if found is None:
        return None
    bundle = read_generation(origin.path, found.generation)
    method = restore(found, bundle.tensors, backbone_in(found, bundle.base))
    return State.of(method.to(device), described(found))


def _commit(path: Path, state: State, parent: BundleConfig | None, own: OwnBackbone | None) -> BundleConfig:
    assert state.description is not None
    return commit_lesson(
        path,
        state.description,
        stored_state(state.method),
        parent_generation=None if parent is None else parent.generation,
        give_base=None if own is None else own.give,
    )


def _is_child(path: Path, there: BundleConfig, new: Description, origin: Origin | None) -> bool:
    """Whether `new` was made from what is there: loaded from it, or taught the same lessons first."""
    if origin is not None and origin.path == Path(os.path.realpath(path)) and origin.config == there:
        return True
    return new.continues(there)


def _is_held(earlier: State, there: BundleConfig | None) -> bool:
    assert earlier.description is not None
    return there is not None and there.continues(earlier.description)


def described(config: BundleConfig) -> Description:
    """Return what a bundle says of the learner, without what it says of itself."""
    return Description(**{name: getattr(config, name) for name in Description.model_fields})


def _other_lessons(path: Path, there: Sequence[TaskRecord], history: Sequence[TaskRecord]) -> BundleError:
    same = {task.weights for task in there} & {task.weights for task in history}
    differing = len(there) - len(same)
    return BundleError(
        f"{path} holds different lessons ({differing} of {len(there)} differ)", fix="save to a new folder"
    )
