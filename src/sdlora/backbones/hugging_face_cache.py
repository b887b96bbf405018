"""Reading models of the transformers library by name.

``hf:owner/name`` is looked up in the local cache of Hugging Face, never fetched: a name may stand in a file that
somebody else wrote. `FETCH` fetches it. Only safetensors are read, and no code that lies beside them.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import LocalEntryNotFoundError
from torch import nn

from sdlora.backbones.hugging_face import TOWER_ALONE, Preprocessing, as_classifier, kind_named, preprocessing
from sdlora.errors import ConfigError
from sdlora.files import read_json

PREFIX = "hf:"
NAME = re.compile(r"hf:(?P<repo>\w[\w.-]*/\w[\w.-]*)(@(?P<revision>\w[\w.-]*))?", re.ASCII)
FETCH = 'hf download {repo} --include "*.json" --include "*.safetensors"'


def read_from_cache(name: str) -> tuple[nn.Module, Preprocessing]:
    """Read an image classifier without its last layer from the local cache of Hugging Face.

    Args:
        name: ``"hf:owner/name"``, or with ``@revision`` behind it.

    Raises:
        ConfigError: If the name is none, the cache does not have it, or it is none of `KINDS`.
    """
    folder = _find(name)
    transformers = import_transformers()
    model_type = str(_document(folder / "config.json", name).get("model_type"))
    kind = kind_named(model_type, name)
    if model_type.endswith(TOWER_ALONE):
        model = as_classifier(_load(getattr(transformers, kind.tower), folder, name))
    else:
        model = _load(getattr(transformers, kind.classifier), folder, name, num_labels=0)
    processor = folder / "preprocessor_config.json"
    return model, preprocessing(model, _document(processor, name) if processor.exists() else None)


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


def _document(path: Path, name: str) -> dict[str, Any]:
    try:
        document = read_json(path)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}", expected="a complete download") from error
    if not isinstance(document, dict):
        raise ConfigError(f"{name}: {path.name} is no object", expected="a model of transformers")
    return document


def _load(classifier: Any, folder: Path, name: str, **options: Any) -> nn.Module:
    """Load weights strictly: nothing may be missing, nothing may be executed."""
    try:
        with _quiet():
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
    missing = sorted(found["missing_keys"])
    if missing:
        raise ConfigError(f"{name} lacks {len(missing)} weights, such as {missing[0]}", expected="a complete model")
    return model  # type: ignore[no-any-return]


@contextmanager
def _quiet() -> Iterator[None]:
    """Let the library neither draw bars nor list the last layer as unused."""
    import transformers

    chatter: Any = transformers.logging  # half of it has no types
    verbosity, had_bars = chatter.get_verbosity(), chatter.is_progress_bar_enabled()
    chatter.set_verbosity(logging.ERROR)
    chatter.disable_progress_bar()
    try:
        yield
    finally:
        chatter.set_verbosity(verbosity)
        if had_bars:
            chatter.enable_progress_bar()


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
