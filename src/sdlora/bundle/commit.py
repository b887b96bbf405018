"""Adding a generation to a bundle: afterwards it is there whole, or not at all.

A generation's file is created exclusively, so of two writers that start from the same generation one is refused,
whatever became of their locks. The newest generation and the states before its last lessons are kept; of others an
empty file remains, so that no number is ever used twice.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from torch import Tensor

from sdlora import __version__
from sdlora.bundle.base import put_base
from sdlora.bundle.card import model_card
from sdlora.bundle.config import MAX_MEASURED, BundleConfig, Description, Weights, format_of, seal, with_names
from sdlora.bundle.folder import is_bundle, read_config, read_generation
from sdlora.bundle.history import (
    HISTORY,
    earlier_states,
    file_of,
    generations,
    is_kept,
    kept_before,
    newest,
    read_document,
    worth_keeping,
)
from sdlora.bundle.records import Measurement
from sdlora.datasets.images import printable
from sdlora.errors import BundleError, BusyError, ConfigError, StorageError
from sdlora.files import (
    MAX_JSON_BYTES,
    digest,
    json_bytes,
    make_folder,
    read_bytes,
    storage_errors,
    tensor_bytes,
    write_atomic,
    write_new,
)

CONFIG, CARD = "config.json", "README.md"
OURS = re.compile(r"\.lock|\.holder\.json|\..*\.partial|history|(model|base)-[0-9a-f]{16}\.safetensors")

log = logging.getLogger(__name__)


def commit_lesson(
    path: Path,
    description: Description,
    tensors: Mapping[str, Tensor],
    *,
    parent_generation: int | None,
    give_base: Callable[[], bytes] | None = None,
) -> BundleConfig:
    """Add a generation to a bundle, or begin one; afterwards it is there whole, or not at all.

    Args:
        path: The folder; created when missing.
        description: What the learner says about itself.
        tensors: Adapters and head.
        parent_generation: The generation that this one follows, None to begin a bundle.
        give_base: Returns the file of the backbone that the description names; asked only if the folder lacks it.

    Raises:
        BusyError: If another process changed the bundle since `parent_generation` was read.
        BundleError: If a new bundle would have to go where something else is, or the parent is damaged.
        StorageError: If a file cannot be written; the bundle is what it was.
    """
    data = tensor_bytes(tensors)
    if parent_generation is None:
        check_free(path)
        return _commit(path, description, data, parent=None, previous=None, give_base=give_base)
    parent = read_config(path)
    if parent.generation != parent_generation:
        raise _conflict(path)
    previous = _before(path, description, parent)
    return _commit(path, description, data, parent=parent_generation, previous=previous, give_base=give_base)


def record(path: Path, generation: int, measurement: Measurement) -> BundleConfig:
    """Add what was measured of a generation, in the place of an older measurement on data of the same name.

    Raises:
        BusyError: If another process changed the bundle since that generation was measured.
        BundleError: If the bundle is damaged.
        StorageError: If a file cannot be written; the bundle is what it was.
    """
    if read_config(path).generation != generation:
        raise _conflict(path)
    bundle = read_generation(path, generation)
    others = [older for older in bundle.config.measured if older.name != measurement.name]
    fields = {name: getattr(bundle.config, name) for name in Description.model_fields}
    measured = (*others, measurement)[-MAX_MEASURED:]
    description = Description(**fields | {"measured": measured})
    return commit_lesson(path, description, bundle.tensors, parent_generation=generation)


def undo(path: Path) -> BundleConfig:
    """Go back to the state before the last lesson, as a new generation; works where the newest one is damaged.

    So it goes on, lesson by lesson, while earlier states are kept. Classes that were renamed since keep their new
    names.

    Returns:
        The generation that is now the newest.

    Raises:
        BundleError: If no earlier state is kept.
        BusyError: If another process changes the bundle at this moment.
        StorageError: If a file cannot be written.
    """
    last = newest(path)
    names: tuple[str, ...] = ()
    try:
        undone = read_document(path, last)
        names, target = undone.classes, undone.previous
    except BundleError:
        target = kept_before(path, last)
    if target is None:
        raise BundleError(f"{path} keeps no state before its last lesson")
    earlier = read_generation(path, target)
    renamed = dict(zip(earlier.config.classes, names, strict=False))
    description = with_names(earlier.config, renamed)
    previous = _before(path, description, earlier.config)
    return _commit(path, description, tensor_bytes(earlier.tensors), parent=last, previous=previous)


def _before(path: Path, description: Description, parent: BundleConfig) -> int | None:
    """Return the newest kept generation without the last lesson of what is about to follow `parent`."""
    for state in (parent, *earlier_states(path, parent)):
        if len(state.tasks) < len(description.tasks) and description.continues(state):
            return state.generation
    return None


def _commit(
    path: Path,
    description: Description,
    data: bytes,
    *,
    parent: int | None,
    previous: int | None,
    give_base: Callable[[], bytes] | None = None,
) -> BundleConfig:
    config = _generation(description, data, parent, previous)
    document = json_bytes(config.model_dump(mode="json"))
    if len(document) > MAX_JSON_BYTES:
        raise ConfigError(f"the description of {path} takes {len(document):,} bytes", expected=f"{MAX_JSON_BYTES:,}")
    make_folder(path)
    make_folder(path / HISTORY, like=path)  # whoever may write into the one may add a generation to the other
    base = config.backbone.base
    new = [path / name for name in config.files if not (path / name).exists()]
    try:
        if base is not None:
            put_base(path, base, give_base)
        _put_weights(path, config.weights, data)
        _create(path, config.generation, document, like=file_of(path, parent or 0))
    except BaseException as error:
        _clear(path, new, is_conflict=isinstance(error, BusyError))
        raise
    _put_weights(path, config.weights, data)  # without working locks another writer's sweep may have come between
    if base is not None and not (path / base.file).exists():
        put_base(path, base, give_base)
    try:
        _write_copies(path, config, document)
        _sweep(path, config)
    except StorageError as error:  # the lesson is safe; what is missing is for people
        log.warning("%s", error.what)
    return config


def _generation(description: Description, data: bytes, parent: int | None, previous: int | None) -> BundleConfig:
    sha256 = digest(data)
    config = BundleConfig(
        **{name: getattr(description, name) for name in Description.model_fields},
        format=format_of(description),
        sdlora=__version__,
        generation=(parent or 0) + 1,
        previous=previous,
        weights=Weights(file=f"model-{sha256[:16]}.safetensors", size=len(data), sha256=sha256),
    )
    return config.model_copy(update={"sha256": seal(config.model_dump(mode="json"))})


def _clear(path: Path, new: list[Path], *, is_conflict: bool) -> None:
    """Remove what a failed commit has made; a backbone not if another writer came before, who may need the same."""
    for file in new:
        with suppress(OSError):
            if not (is_conflict and file.name.startswith("base-")):
                file.unlink()
    with suppress(OSError):
        (path / HISTORY).rmdir()  # if empty


def _create(path: Path, generation: int, document: bytes, *, like: Path) -> None:
    """Create the file of a generation: the commit.

    Raises:
        BusyError: If another writer has created it.
    """
    if not write_new(file_of(path, generation), document, like=like):
        raise _conflict(path)


def _put_weights(path: Path, weights: Weights, data: bytes) -> None:
    file = path / weights.file
    with suppress(ValueError):
        if digest(read_bytes(file)) == weights.sha256:
            return
    write_atomic(file, data, like=next(path.glob("model-*.safetensors"), None))


def _write_copies(path: Path, config: BundleConfig, document: bytes) -> None:
    """Write what is for people: the newest generation's document, and the card with its owner's notes."""
    write_atomic(path / CONFIG, document)
    card = path / CARD
    former = card.read_text(encoding="utf-8", errors="replace") if card.is_file() else ""
    write_atomic(card, model_card(config, former).encode())


def _sweep(path: Path, config: BundleConfig) -> None:
    """Remove superseded generations, and weights that no generation refers to.

    Weights written after the newest generation may be another writer's that is about to commit: they stay.
    """
    with storage_errors(path):
        kept = worth_keeping(path, config)
        numbers = {state.generation for state in kept}
        used = {name for state in kept for name in state.files}
        for number in generations(path):
            if number > config.generation:
                with suppress(BundleError):
                    used |= {*read_document(path, number).files}
            elif number not in numbers and is_kept(path, number):
                write_atomic(file_of(path, number), b"")
        committed = file_of(path, config.generation).stat().st_mtime_ns
        with suppress(FileNotFoundError):  # another writer has gone on, and sweeps too
            for file in (*path.glob("model-*.safetensors"), *path.glob("base-*.safetensors")):
                if file.name not in used and file.stat().st_mtime_ns < committed:
                    file.unlink()


def check_free(path: Path) -> None:
    """Refuse to begin a bundle where there is one, or where somebody else's files are.

    Raises:
        BusyError: If there is a bundle.
        BundleError: If there is something else.
    """
    if is_bundle(path):
        raise _conflict(path)
    if path.is_dir():
        foreign = sorted(name for name in os.listdir(path) if not OURS.fullmatch(name))
        if foreign:
            raise BundleError(
                f"{path} holds {printable(foreign[0])} and is no bundle", expected="a new or empty folder"
            )
    elif path.exists():
        raise BundleError(f"{path} is a file", expected="a new or empty folder")


def _conflict(path: Path) -> BusyError:
    return BusyError(
        f"{path} was changed by another process meanwhile", fix="the same command again teaches what is there now"
    )
