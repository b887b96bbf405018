"""Reading and committing the generations of a bundle.

    NAME/history/<generation>.json        what the generation is; creating this file is the commit
         model-<16 hex>.safetensors       adapters and head, named by their sha256
         config.json                      a copy of the newest generation, for people
         README.md                        the model card

The highest generation counts. Its file is created exclusively, so of two writers that start from the same generation
one is refused, whatever became of their locks. The newest generation and the one before the last lesson are kept; of
older ones an empty file remains, so that no number is ever used twice.
"""

from __future__ import annotations

import logging
import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError
from torch import Tensor

from sdlora import __version__
from sdlora.bundle.card import model_card
from sdlora.bundle.config import (
    FORMAT,
    MAX_MEASURED,
    BundleConfig,
    Description,
    Measurement,
    Weights,
    with_names,
)
from sdlora.bundle.weights import read_weights
from sdlora.datasets.images import printable
from sdlora.errors import BundleError, BusyError, ConfigError, SDLoRAError, StorageError
from sdlora.files import (
    MAX_JSON_BYTES,
    digest,
    json_bytes,
    make_folder,
    read_bytes,
    read_json,
    storage_errors,
    tensor_bytes,
    write_atomic,
    write_new,
)

HISTORY, CONFIG, CARD = "history", "config.json", "README.md"
TRIES = 100  # a reader that comes between two commits finds swept files, and looks again
NUMBERED = re.compile(r"[1-9][0-9]{0,15}\.json")
OURS = re.compile(r"\.lock|\.holder\.json|\..*\.partial|history|model-[0-9a-f]{16}\.safetensors")

T = TypeVar("T")

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Bundle:
    """One generation of a bundle, read whole and checked.

    Attributes:
        path: The folder, as it was given.
        config: What it says about itself.
        tensors: Adapters and head, from the bytes whose hash was checked; no file is mapped.
    """

    path: Path
    config: BundleConfig
    tensors: dict[str, Tensor]


def is_bundle(path: Path) -> bool:
    """Whether a folder holds a generation, damaged or not."""
    return bool(_generations(path))


def read_bundle(path: Path) -> Bundle:
    """Return the newest generation of a bundle; writes nothing and needs no lock.

    Raises:
        BundleError: If there is none, or it is damaged, or a newer sdlora wrote it; what, and what to do, is said.
        StorageError: If a file cannot be read.
    """
    return _of_newest(path, read_generation)


def read_config(path: Path) -> BundleConfig:
    """Return what the newest generation says about itself; its tensors are not looked at.

    Raises:
        BundleError: If there is none, or it is damaged, or a newer sdlora wrote it.
        StorageError: If it cannot be read.
    """
    return _of_newest(path, _read_config)


def read_generation(path: Path, number: int) -> Bundle:
    """Return one of the generations that a bundle keeps.

    Raises:
        BundleError: If it is missing, damaged, or a newer sdlora wrote it.
        StorageError: If a file cannot be read.
    """
    config = _read_config(path, number)
    file, weights = path / config.weights.file, config.weights
    with _damage(path, number):
        _check_size(file, weights.size)
        data = read_bytes(file)
        if digest(data) != weights.sha256:
            raise ValueError(f"{file} has sha256 {digest(data)[:8]}, not {weights.sha256[:8]}")
        try:
            return Bundle(path, config, read_weights(data))
        except ValueError as error:
            raise ValueError(f"{file}: {error}") from error


def commit_lesson(
    path: Path, description: Description, tensors: Mapping[str, Tensor], *, parent_generation: int | None
) -> BundleConfig:
    """Add a generation to a bundle, or begin one; afterwards it is there whole, or not at all.

    Args:
        path: The folder; created when missing.
        description: What the learner says about itself.
        tensors: Adapters and head.
        parent_generation: The generation that this one follows, None to begin a bundle.

    Raises:
        BusyError: If another process changed the bundle since `parent_generation` was read.
        BundleError: If a new bundle would have to go where something else is, or the parent is damaged.
        StorageError: If a file cannot be written; the bundle is what it was.
    """
    data = tensor_bytes(tensors)
    if parent_generation is None:
        _check_free(path)
        return _commit(path, description, data, parent=None, previous=None)
    parent = read_config(path)
    if parent.generation != parent_generation:
        raise _conflict(path)
    lessons = len(description.tasks) - len(parent.tasks)
    previous = parent_generation if lessons > 0 else parent.previous if lessons == 0 else None
    return _commit(path, description, data, parent=parent_generation, previous=previous)


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

    Classes that were renamed since keep their new names.

    Returns:
        The generation that is now the newest.

    Raises:
        BundleError: If no earlier state is kept.
        BusyError: If another process changes the bundle at this moment.
        StorageError: If a file cannot be written.
    """
    newest = _newest(path)
    names: tuple[str, ...] = ()
    try:
        parent = _read_config(path, newest)
        names, target = parent.classes, parent.previous
    except BundleError:
        target = _kept_before(path, newest)
    if target is None:
        raise BundleError(f"{path} keeps no state before its last lesson", expected="a lesson that was not undone yet")
    earlier = read_generation(path, target)
    renamed = dict(zip(earlier.config.classes, names, strict=False))
    description = with_names(earlier.config, renamed)
    return _commit(path, description, tensor_bytes(earlier.tensors), parent=newest, previous=None)


def _commit(
    path: Path, description: Description, data: bytes, *, parent: int | None, previous: int | None
) -> BundleConfig:
    sha256 = digest(data)
    config = BundleConfig(
        **{name: getattr(description, name) for name in Description.model_fields},
        sdlora=__version__,
        generation=(parent or 0) + 1,
        previous=previous,
        weights=Weights(file=f"model-{sha256[:16]}.safetensors", size=len(data), sha256=sha256),
    )
    document = json_bytes(config.model_dump(mode="json"))
    if len(document) > MAX_JSON_BYTES:
        raise ConfigError(f"the description of {path} takes {len(document):,} bytes", expected=f"{MAX_JSON_BYTES:,}")
    make_folder(path / HISTORY)
    file = path / config.weights.file
    was_there = file.exists()
    try:
        _put_weights(path, config.weights, data)
        _create(path, config.generation, document, like=_file(path, parent or 0))
    except BaseException:
        with suppress(OSError):
            if not was_there:
                file.unlink()
            (path / HISTORY).rmdir()  # if empty
        raise
    _put_weights(path, config.weights, data)  # without working locks another writer's sweep may have come between
    try:
        _write_copies(path, config, document)
        _sweep(path, config)
    except StorageError as error:  # the lesson is safe; what is missing is for people
        log.warning("%s", error.what)
    return config


def _create(path: Path, generation: int, document: bytes, *, like: Path) -> None:
    """Create the file of a generation: the commit.

    Raises:
        BusyError: If another writer has created it.
    """
    if not write_new(_file(path, generation), document, like=like):
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


def _sweep(path: Path, newest: BundleConfig) -> None:
    """Remove superseded generations, and weights that no generation refers to.

    Weights written after the newest generation may be another writer's that is about to commit: they stay.
    """
    with storage_errors(path):
        used = {newest.weights.file}
        for number in _generations(path):
            if number >= newest.generation or number == newest.previous:
                with suppress(BundleError):
                    used.add(_read_config(path, number).weights.file)
            elif _file(path, number).stat().st_size:
                write_atomic(_file(path, number), b"")
        committed = _file(path, newest.generation).stat().st_mtime_ns
        with suppress(FileNotFoundError):  # another writer has gone on, and sweeps too
            for file in path.glob("model-*.safetensors"):
                if file.name not in used and file.stat().st_mtime_ns < committed:
                    file.unlink()


def _of_newest(path: Path, read: Callable[[Path, int], T]) -> T:
    """Return what `read` makes of the newest generation; where that is swept meanwhile, look again."""
    number = _newest(path)
    for _ in range(TRIES):
        try:
            return read(path, number)
        except BundleError:
            before, number = number, _newest(path)
            if number == before:
                raise
    raise BusyError(f"{path} changes faster than it can be read", fix="try again")


def _generations(path: Path) -> list[int]:
    try:
        names = os.listdir(path / HISTORY)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError.from_os_error(error, path / HISTORY, verb="read") from error
    return sorted(int(name[:-5]) for name in names if NUMBERED.fullmatch(name))


def _newest(path: Path) -> int:
    if numbers := _generations(path):
        return numbers[-1]
    if not path.exists():
        raise BundleError(f"{path} does not exist", expected="a folder written by sdlora learn")
    what = "is not a bundle: it holds no history" if path.is_dir() else "is not a model folder"
    raise BundleError(f"{path} {what}", expected="a folder written by sdlora learn")


def _kept_before(path: Path, number: int) -> int | None:
    """Return the newest generation before another one that is kept."""
    kept = [n for n in _generations(path) if n < number and _file(path, n).stat().st_size]
    return max(kept, default=None)


def _file(path: Path, number: int) -> Path:
    return path / HISTORY / f"{number}.json"


def _read_config(path: Path, number: int) -> BundleConfig:
    file = _file(path, number)
    with _damage(path, number):
        _check_size(file, None)
        raw = read_json(file)
        version = raw.get("format") if isinstance(raw, dict) else None
        if isinstance(version, int) and version > FORMAT:
            raise BundleError(
                f"{path} has format {version}, from sdlora {printable(str(raw.get('sdlora')))[:20]}; "
                f"this is {__version__} and reads up to {FORMAT}",
                fix="pip install -U sdlora",
            )
        try:
            config = BundleConfig.model_validate_json(json_bytes(raw))
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"])) or "the document"
            raise ValueError(f"{file} is damaged: {place}: {first['msg']}") from error
        except ValueError as error:
            raise ValueError(f"{file} is damaged: {error}") from error
        if config.generation != number:
            raise ValueError(f"{file} is damaged: it says that it is generation {config.generation}")
    return config


def _check_size(file: Path, size: int | None) -> None:
    """Refuse a file that is not there, no regular one, or of another size than it must have."""
    try:
        found = file.stat()
    except FileNotFoundError as error:
        raise ValueError(f"{file} is missing") from error
    except OSError as error:
        raise StorageError.from_os_error(error, file, verb="read") from error
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{file} is no file")
    if size is None and found.st_size > MAX_JSON_BYTES:
        raise ValueError(f"{file} has {found.st_size:,} bytes; at most {MAX_JSON_BYTES:,} are read")
    if size is not None and found.st_size != size:
        raise ValueError(f"{file} has {found.st_size:,} bytes, not {size:,}")


@contextmanager
def _damage(path: Path, number: int) -> Iterator[None]:
    """Turn a ValueError about a file into a BundleError that says what can be done."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        if isinstance(error, SDLoRAError):
            raise
        is_kept = _kept_before(path, number) is not None
        fix = f"sdlora learn {path} --undo restores the state before the last lesson" if is_kept else None
        raise BundleError(printable(str(error)), fix=fix) from error


def _check_free(path: Path) -> None:
    """Refuse to begin a bundle where there is one, or where somebody else's files are."""
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
