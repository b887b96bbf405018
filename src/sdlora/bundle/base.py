"""The file of a backbone that no name leads to: written once for all generations, checked whenever one is read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from torch import Tensor

from sdlora.bundle.history import check_file
from sdlora.bundle.source import Base
from sdlora.bundle.weights import MAX_HEADER, read_weights
from sdlora.datasets.images import printable
from sdlora.errors import BundleError, ConfigError
from sdlora.files import digest, read_bytes, write_atomic


def read_base(path: Path, base: Base) -> dict[str, Tensor]:
    """Return the weights of the backbone in a bundle; before a tensor is made it is known which there must be.

    Raises:
        BundleError: If the file is missing or damaged, or holds other tensors than its blueprint implies.
        StorageError: If it cannot be read.
    """
    file = path / base.file
    try:
        layout = layout_of(base)
        check_file(file, base.size)
        return _parsed(read_bytes(file), base, layout)
    except ConfigError as error:
        raise BundleError(f"the backbone in {path} cannot be built: {error.what}", fix=error.fix) from error
    except (ValueError, OverflowError) as error:
        text = printable(str(error))
        what = text if file.name in text else f"{file}: {text}"
        raise BundleError(
            what, fix=f"copy {base.file} from another copy of this folder; all its states need it"
        ) from error


def layout_of(base: Base) -> dict[str, Tensor]:
    """Return the tensors that a blueprint implies, without numbers.

    Raises:
        ValueError: If nothing can be built from it, or the file is said to be of another size than they take.
        ConfigError: If the library is not installed.
    """
    from sdlora.backbones.builder import outline  # imports timm, which other bundles need later or never

    layout = outline(base.blueprint).state_dict()
    needed = sum(tensor.numel() * tensor.element_size() for tensor in layout.values())
    if not needed < base.size <= needed + 8 + MAX_HEADER:
        raise ValueError(f"{base.file} is said to have {base.size:,} bytes for weights of {needed:,}")
    return layout


def put_base(path: Path, base: Base, give: Callable[[], bytes] | None) -> None:
    """Write the file of a backbone unless it is there as it must be.

    Args:
        path: The bundle.
        base: Which file.
        give: Returns its bytes; without it the file must be there.

    Raises:
        BundleError: If it is not there, and nobody can give it.
        StorageError: If it cannot be written.
    """
    file = path / base.file
    try:
        check_file(file, base.size)
        if digest(read_bytes(file)) == base.sha256:
            return
        raise ValueError(f"{file} is damaged")
    except ValueError as error:
        if give is None:
            raise BundleError(
                printable(str(error)), fix=f"copy {base.file} from another copy of this folder"
            ) from error
    write_atomic(file, give(), like=next(path.glob("*.safetensors"), None))


def _parsed(data: bytes, base: Base, layout: dict[str, Tensor]) -> dict[str, Tensor]:
    if (found := digest(data)) != base.sha256:
        raise ValueError(f"{base.file} has sha256 {found[:8]}, not {base.sha256[:8]}")
    return read_weights(data, layout)
