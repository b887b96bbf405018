"""The generations of a bundle: which there are, which are kept, and what each says about itself."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote

from pydantic import ValidationError

from sdlora import __version__
from sdlora.bundle.config import FORMAT, BundleConfig, seal
from sdlora.datasets.images import printable
from sdlora.errors import BundleError, SDLoRAError, StorageError
from sdlora.files import MAX_JSON_BYTES, json_bytes, read_json
from sdlora.registry import nearest

HISTORY = "history"
MARK = "export.json"  # what every export holds, and nothing else of this package
MAX_EARLIER = 10  # states before earlier lessons
MAX_EARLIER_BYTES = 100_000_000  # of their weights; the state before the last lesson is kept whatever it takes
MISTYPED = 0.7  # likeness of two names; digits and fruits, which are two words, have 0.5
NUMBERED = re.compile(r"[1-9][0-9]{0,15}\.json")


def generations(path: Path) -> list[int]:
    """Return the numbers of all generations, kept or not, in order; none if it is no bundle.

    Raises:
        StorageError: If the folder cannot be read.
    """
    try:
        names = os.listdir(path / HISTORY)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise StorageError.from_os_error(error, path / HISTORY, verb="read") from error
    return sorted(int(name[:-5]) for name in names if NUMBERED.fullmatch(name))


def newest(path: Path) -> int:
    """Return the number of the generation that counts.

    Raises:
        BundleError: If there is none.
    """
    if numbers := generations(path):
        return numbers[-1]
    if not path.exists():
        close = neighbour(path)
        raise BundleError(
            f"{path} does not exist",
            expected="a folder written by sdlora learn",
            fix=f"did you mean {close}?" if close else None,
        )
    what = "is not a bundle: it holds no history" if path.is_dir() else "is not a model folder"
    if (path / MARK).is_file():
        what += "; it looks like an export"
    run = path / "model"
    raise BundleError(
        f"{path} {what}",
        expected="a folder written by sdlora learn",
        fix=f"the model of a run is {run}" if generations(run) else None,
    )


def neighbour(path: Path) -> Path | None:
    """Return the bundle beside `path` whose name is so close to its own that one may be mistyped, if there is one."""
    try:
        beside = [other.name for other in path.parent.iterdir() if other.name != path.name and generations(other)]
    except OSError:
        return None
    close = nearest(path.name, beside, likeness=MISTYPED)
    return path.with_name(close) if close else None


def file_of(path: Path, number: int) -> Path:
    """Return the file of a generation, whether it is there or not."""
    return path / HISTORY / f"{number}.json"


def is_kept(path: Path, number: int) -> bool:
    """Whether a generation can still be read; of a superseded one only an empty file remains.

    Raises:
        StorageError: If that cannot be found out.
    """
    file = file_of(path, number)
    try:
        return bool(file.stat().st_size)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError.from_os_error(error, file, verb="read") from error


def kept_before(path: Path, number: int) -> int | None:
    """Return the newest generation before another one that is kept."""
    return max((other for other in generations(path) if other < number and is_kept(path, other)), default=None)


def earlier_states(path: Path, config: BundleConfig) -> Iterator[BundleConfig]:
    """Yield the state before the last lesson of a generation, the one before that, and so on, while they are kept."""
    with suppress(BundleError):
        while config.previous is not None and is_kept(path, config.previous):
            config = read_document(path, config.previous)
            yield config


def worth_keeping(path: Path, config: BundleConfig) -> list[BundleConfig]:
    """Return the newest generation and those of its earlier states that its bundle goes on holding."""
    kept, num_bytes = [config], 0
    for state in earlier_states(path, config):
        num_bytes += state.weights.size
        if len(kept) > 1 and (len(kept) > MAX_EARLIER or num_bytes > MAX_EARLIER_BYTES):
            break
        kept.append(state)
    return kept


def read_document(path: Path, number: int) -> BundleConfig:
    """Return what a generation says about itself.

    Raises:
        BundleError: If it is missing, damaged, or a newer sdlora wrote it.
        StorageError: If it cannot be read.
    """
    file = file_of(path, number)
    with damage(path, number):
        check_file(file, None)
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
        found = seal(raw)
        if config.sha256 not in (None, found):
            raise ValueError(f"{file} is damaged: it has sha256 {found[:8]}, not {str(config.sha256)[:8]}")
    return config


def check_file(file: Path, size: int | None) -> None:
    """Refuse a file that is not there, no regular one, or of another size than it must have.

    Raises:
        ValueError: If it is; the message names it.
        StorageError: If that cannot be found out.
    """
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
def damage(path: Path, number: int) -> Iterator[None]:
    """Turn a ValueError about a file of a generation into a BundleError that says what can be done."""
    try:
        yield
    except (ValueError, OverflowError) as error:
        if isinstance(error, SDLoRAError):
            raise
        is_mended = kept_before(path, number) is not None
        fix = f"sdlora learn {quote(str(path))} --undo restores the state before the last lesson" if is_mended else None
        raise BundleError(printable(str(error)), fix=fix) from error
