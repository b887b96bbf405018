"""Writing so that a crash leaves the old file or the new one, reading so that damage is noticed, and the folder lock.

Nothing else in this package writes files, except the metric log, which only ever grows. A file or folder under way is
called ``.<random>.partial`` and lies beside its target; what a killed process left of them, the next holder of the
folder's lock removes with `sweep`.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import secrets
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import safetensors.torch
from filelock import FileLock, Timeout
from torch import Tensor

from sdlora.errors import BusyError, StorageError

PARTIAL = ".partial"
MANIFEST = "manifest.json"
MAX_JSON_BYTES = 1_000_000
MAX_JSON_DEPTH = 32
NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)  # what file systems answer


def write_atomic(path: Path, data: bytes, *, like: Path | None = None) -> None:
    """Replace `path` by a file holding `data`, or leave it as it was.

    Written beside it, flushed to the disk, renamed, and the folder flushed. The mode of the replaced file stays; a
    symbolic link stays one, and what it points to is replaced. A new file gets the mode of the file `like`, if that
    exists.

    Raises:
        StorageError: If the disk is full or the file cannot be written; nothing is left behind.
    """
    target = Path(os.path.realpath(path))
    temporary = _beside(target)
    with storage_errors(path, len(data), undo=lambda: os.unlink(temporary)):
        _write(temporary, data)
        _copy_mode(target if target.exists() else like, temporary)
        os.replace(temporary, target)
        _flush_folder(target.parent)


def write_new(path: Path, data: bytes, *, like: Path | None = None) -> bool:
    """Create a file that is not there yet; of all processes that try to, at any moment, one succeeds.

    Written beside it, flushed, and linked into place, so nobody sees a part of it. On a file system without hard links
    it is created in place.

    Args:
        path: The file.
        data: What it will hold.
        like: A file whose mode it gets, if that exists.

    Returns:
        Whether it was created; False if there was such a file.

    Raises:
        StorageError: If the disk is full or the file cannot be written; nothing is left behind.
    """
    temporary, made = _beside(path), False

    def undo() -> None:
        if made:
            os.unlink(path)
        os.unlink(temporary)

    with storage_errors(path, len(data), undo=undo):
        _write(temporary, data)
        _copy_mode(like, temporary)
        made = _link(temporary, path, data)
        _flush_folder(path.parent)
    with suppress(OSError):  # the file is there; what is left beside it is swept some day
        os.unlink(temporary)
    return made


def write_json(path: Path, value: Any) -> None:
    """Write `value` as JSON with `write_atomic`.

    Raises:
        StorageError: If it cannot be written.
        ValueError: If a number is not finite.
    """
    write_atomic(path, json_bytes(value))


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write tensors in safetensors format with `write_atomic`.

    Raises:
        StorageError: If they cannot be written.
    """
    write_atomic(path, tensor_bytes(tensors))


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Create a folder that holds `files` and their sizes and digests; it appears whole or not at all.

    Raises:
        StorageError: If it cannot be written or exists; nothing is left behind.
    """
    listing = {name: {"size": len(data), "sha256": digest(data)} for name, data in files.items()}
    contents = {**files, MANIFEST: json_bytes({"format": 1, "files": listing})}
    temporary = _beside(path)
    with storage_errors(path, sum(map(len, contents.values())), undo=lambda: shutil.rmtree(temporary)):
        os.mkdir(temporary)
        for name, data in contents.items():
            _write(temporary / name, data)
        _flush_folder(temporary)
        os.rename(temporary, path)
        _flush_folder(path.parent)


def read_folder(path: Path) -> dict[str, bytes]:
    """Return the files of a folder made by `write_folder`.

    Raises:
        ValueError: If a file is missing, short, long or altered; the message names it.
        StorageError: If one cannot be read.
    """
    manifest = read_json(path / MANIFEST)
    try:
        listing = {str(name): (entry["size"], entry["sha256"]) for name, entry in manifest["files"].items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"{path / MANIFEST} does not list sizes and digests") from error
    files = {}
    for name, (size, sha256) in listing.items():
        data = read_bytes(path / name)
        if len(data) != size:
            raise ValueError(f"{path / name} has {len(data)} bytes, not {size}")
        if digest(data) != sha256:
            raise ValueError(f"{path / name} has sha256 {digest(data)[:8]}, not {str(sha256)[:8]}")
        files[name] = data
    return files


def read_bytes(path: Path) -> bytes:
    """Return what a file holds.

    Raises:
        ValueError: If there is no such file.
        StorageError: If it cannot be read.
    """
    try:
        return path.read_bytes()
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
        raise ValueError(f"{path} is missing") from error
    except OSError as error:
        raise StorageError.from_os_error(error, path, verb="read") from error


def read_json(path: Path) -> Any:
    """Return the value of a JSON file, strictly.

    Raises:
        ValueError: If it is missing, larger than `MAX_JSON_BYTES`, deeper than `MAX_JSON_DEPTH`, repeats a key or is
            no JSON; the message names the file.
        StorageError: If it cannot be read.
    """
    data = read_bytes(path)
    if len(data) > MAX_JSON_BYTES:
        raise ValueError(f"{path} has {len(data)} bytes; at most {MAX_JSON_BYTES} are read")
    try:
        value = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_refuse)
        _check_depth(value, MAX_JSON_DEPTH)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return value


def json_bytes(value: Any) -> bytes:
    """Return `value` as indented JSON text in UTF-8.

    Raises:
        ValueError: If a number is not finite.
    """
    return (json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()


def tensor_bytes(tensors: Mapping[str, Tensor]) -> bytes:
    """Return tensors in safetensors format; the same tensors give the same bytes."""
    copies = {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}
    return safetensors.torch.save(copies)


def parse_tensors(data: bytes) -> dict[str, Tensor]:
    """Return the tensors in safetensors bytes; they do not alias any file.

    Raises:
        ValueError: If the bytes are damaged.
    """
    try:
        return safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"damaged tensors: {error}") from error


def digest(data: bytes) -> str:
    """Return the sha256 of `data` in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def make_folder(path: Path, *, like: Path | None = None) -> None:
    """Create a folder and those above it, unless they exist; new ones get the mode of the folder `like`, if given.

    Raises:
        StorageError: If that is not possible.
    """
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    with storage_errors(path):
        for folder in reversed(missing):
            with suppress(FileExistsError):  # another process was faster
                os.mkdir(folder)
                _copy_mode(like, folder)
            _flush_folder(folder.parent)


def remove_folder(path: Path) -> None:
    """Remove a folder and all it holds.

    Raises:
        StorageError: If that is not possible.
    """
    with storage_errors(path):
        condemned = _beside(path)
        os.rename(path, condemned)  # at once: a kill half-way must not leave half a folder under its own name
        shutil.rmtree(condemned)


def sweep(folder: Path) -> None:
    """Remove what killed writers left in `folder`; call it only while holding its lock.

    Raises:
        StorageError: If something cannot be removed.
    """
    with storage_errors(folder):
        for path in folder.glob(f"*{PARTIAL}"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()


@contextmanager
def storage_errors(path: Path, needed: int | None = None, undo: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Turn an OSError inside the block into a StorageError about `path`; on any exception call `undo` first."""
    try:
        yield
    except BaseException as error:
        with suppress(OSError):
            undo()
        if isinstance(error, OSError) and not isinstance(error, StorageError | Timeout):
            raise StorageError.from_os_error(error, path, needed) from error
        raise


class FolderLock:
    """One writer a folder, told early: the lock of a killed holder is free at once, and no file needs deleting.

    Whoever may write into the folder may write its lock too, whatever the umask of the first who did.

    Args:
        folder: What to lock; created when missing.
        timeout: Seconds to wait for another holder.

    Raises:
        BusyError: On entering, if another process holds it; the message names that process.
        StorageError: On entering, if the folder cannot be written.
    """

    def __init__(self, folder: Path, *, timeout: float = 0.0) -> None:
        self.folder, self.timeout = folder, timeout
        self._holder = folder / ".holder.json"

    def __enter__(self) -> FolderLock:
        make_folder(self.folder)
        try:
            with storage_errors(self.folder / ".lock"):
                mode = self.folder.stat().st_mode & 0o666 | 0o600  # filelock takes no less
                self._lock = FileLock(self.folder / ".lock", timeout=self.timeout, thread_local=False, mode=mode)
                self._lock.acquire()
        except Timeout as error:
            raise BusyError(
                f"{self.folder} is in use by {self._describe_holder()}", fix="wait for it, or choose another folder"
            ) from error
        try:
            sweep(self.folder)
            since = datetime.now(UTC).isoformat(timespec="seconds")
            write_json(self._holder, {"pid": os.getpid(), "host": socket.gethostname(), "since": since})
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._holder.unlink()
        self._lock.release()

    def _describe_holder(self) -> str:
        try:
            holder = read_json(self._holder)
            return f"process {holder['pid']} on {holder['host']} since {holder['since']}"
        except (OSError, ValueError, KeyError, TypeError):
            return "another process"


def _beside(path: Path) -> Path:
    return path.with_name(f".{secrets.token_hex(8)}{PARTIAL}")


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666)  # less the umask
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _copy_mode(source: Path | None, target: Path) -> None:
    if source is not None:
        with suppress(FileNotFoundError):
            os.chmod(target, os.stat(source).st_mode & 0o7777)


def _link(source: Path, target: Path, data: bytes) -> bool:
    try:
        os.link(source, target)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        try:
            _write(target, data)
        except FileExistsError:
            return False
        _copy_mode(source, target)
    return True


def _flush_folder(path: Path) -> None:
    if os.name == "nt":  # a folder cannot be opened there, and a rename is durable by itself
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key occurs twice")
    return made


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON number")


def _check_depth(value: Any, left: int) -> None:
    if left == 0:
        raise ValueError(f"nested deeper than {MAX_JSON_DEPTH}")
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        _check_depth(child, left - 1)
