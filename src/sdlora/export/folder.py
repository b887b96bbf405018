"""The folder of an export: written beside, checked, renamed; never over what somebody else made."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

from sdlora import __version__
from sdlora.bundle.history import MARK
from sdlora.errors import CheckError, ConfigError
from sdlora.export.parts import Parts
from sdlora.export.report import Check, ExportReport
from sdlora.files import MANIFEST, PARTIAL, json_bytes, make_folder, read_folder, storage_errors, write_folder
from sdlora.methods.plain import name_of

HARMLESS = {MANIFEST, "__pycache__"}  # the second appears when Python imports what an export holds


def mark(parts: Parts, target: str) -> bytes:
    """Return the content of `MARK`."""
    return json_bytes(
        {
            "format": target,
            "sdlora": __version__,
            "method": name_of(parts.method),
            "backbone": parts.backbone.name,
            "num_classes": len(parts.classes),
        }
    )


def claim(path: Path) -> None:
    """Refuse a folder that this package did not write, or that was changed since.

    Raises:
        ConfigError: If it is there and is not an export as it was written.
    """
    if not path.exists():
        return
    fix = "--out OTHER, or move it away"
    if not (path / MARK).is_file():
        raise ConfigError(f"{path} exists and sdlora did not write it", fix=fix)
    try:
        files = read_folder(path)
    except ValueError as error:
        raise ConfigError(f"{path} exists and is no export as sdlora wrote it: {error}", fix=fix) from error
    foreign = sorted({entry.name for entry in path.iterdir()} - files.keys() - HARMLESS)
    if foreign:
        raise ConfigError(f"{path} holds what sdlora did not write: {', '.join(foreign)}", fix=fix)


def finish(
    path: Path,
    target: str,
    files: Mapping[str, bytes],
    check: Callable[[Path], Check],
    *,
    ratio: Callable[[], float],
    lines: tuple[str, ...],
    next_step: str,
) -> ExportReport:
    """Write, check and name a folder as `publish`, and say what came of it.

    Args:
        path: Where it goes.
        target: Format.
        files: What it holds.
        check: Loads the folder given and says whether it is what it should be.
        ratio: Gives its time over that of the plain backbone, once it was checked.
        lines: How to feed it and what comes out.
        next_step: What uses it.

    Raises:
        CheckError: If it is not what it should be; the files are kept as ``NAME.failed``.
    """
    made, found = publish(path, files, check)
    if not found.passed:
        raise CheckError(
            f"the export differs from sdlora: {found.against} gives the same class for {found.num_same} of "
            f"{found.num_images} images, largest difference of {found.quantity} {found.difference:.1e}",
            expected=f"all of them, and at most {found.limit:.0e}; {made} keeps its files",
        )
    return ExportReport(
        format=target,
        path=path,
        files={name: len(data) for name, data in files.items()},
        check=found,
        latency_ratio=ratio(),
        lines=lines,
        next=next_step,
    )


def publish(path: Path, files: Mapping[str, bytes], check: Callable[[Path], Check]) -> tuple[Path, Check]:
    """Write a folder, check it, and give it its name.

    Args:
        path: Where it goes; an export that is there is replaced.
        files: What it holds.
        check: Loads the folder given and says whether it is what it should be.

    Returns:
        The folder, ``NAME.failed`` if the check failed, and what the check found.

    Raises:
        ConfigError: If something else is there.
        StorageError: If it cannot be written; what was there before is intact.
    """
    path = Path(os.path.abspath(path))
    make_folder(path.parent)
    with storage_errors(path):
        for entry in path.parent.iterdir():
            if entry.name.startswith(f".{path.name}.") and entry.name.endswith(PARTIAL):
                shutil.rmtree(entry)  # of a call that was killed
    made = _beside(path)
    write_folder(made, files)
    try:
        found = check(made)
        target = path if found.passed else path.with_name(f"{path.name}.failed")
        claim(target)
        _replace(target, made)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return target, found


def _replace(path: Path, made: Path) -> None:
    with storage_errors(path):
        if not path.exists():
            os.rename(made, path)
            return
        former = _beside(path)
        os.rename(path, former)
        try:
            os.rename(made, path)
        except OSError:
            os.rename(former, path)
            raise
        shutil.rmtree(former)


def _beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(8)}{PARTIAL}")
