"""Check a recipe as written against the sections, and against the constructors of the things it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

from pydantic import ValidationError
from pydantic.fields import FieldInfo

import sdlora.datasets
import sdlora.methods  # noqa: F401  both fill their registries
from sdlora.backbones.vit import UNTRAINED, untrained_vit
from sdlora.config.problems import Path, Problem, dotted, short
from sdlora.config.rules import conflicts
from sdlora.config.schema import AnyData, AnyMethod, BackboneSection, DataSection, MethodSection, Recipe, Section
from sdlora.config.signature import section_of, with_sections, words
from sdlora.config.write import toml_value
from sdlora.datasets.base import DATASETS, AugmentOptions
from sdlora.methods.base import METHODS
from sdlora.registry import Registry, nearest

METHOD, DATASET, BACKBONE = ("method", "name"), ("stream", "dataset"), ("backbone", "name")
BACKBONE_OPTIONS: Mapping[str, Callable[..., Any]] = {UNTRAINED: untrained_vit}


def check(document: Mapping[str, Any]) -> tuple[Recipe | None, list[Problem]]:
    """Return the recipe that a document means, or None and everything that is wrong with it."""
    tables = {**{name: {} for name in Recipe.model_fields}, **document}
    names = {path: name_at(tables, path) for path in (METHOD, DATASET, BACKBONE)}
    method = METHODS.get(names[METHOD]) if names[METHOD] in METHODS else None
    problems = [
        *_unknown_name(METHOD, names[METHOD], METHODS),
        *_unknown_name(DATASET, names[DATASET], DATASETS),
        *conflicts(tables, method),
    ]
    model = recipe_model(*names.values())
    try:
        recipe = model.model_validate(_with_tuples(tables))
    except ValidationError as error:
        found = {_stop(model, item["loc"]): item["type"] for item in error.errors()}
        return None, problems + [_problem(path, kind, tables, model) for path, kind in found.items()]
    return (None, problems) if problems else (recipe, [])


@cache
def recipe_model(method: str, dataset: str, backbone: str) -> type[Recipe]:
    """Return `Recipe` with the keys of a method, a dataset and a backbone; unknown names take any keys."""
    data = section_of(AugmentOptions, DataSection, partial=True)
    options = section_of(BACKBONE_OPTIONS[backbone]) if backbone in BACKBONE_OPTIONS else Section
    return with_sections(
        Recipe,
        method=section_of(METHODS.get(method), MethodSection) if method in METHODS else AnyMethod,
        data=section_of(DATASETS.get(dataset), data, leave_out=("image_size",)) if dataset in DATASETS else AnyData,
        backbone=with_sections(BackboneSection, options=options),
    )


def name_at(document: Mapping[str, Any], path: Path) -> str:
    """Return the text at `path`, or none at all: ``""``."""
    value = _at(document, path)
    return value if isinstance(value, str) else ""


def _at(document: Any, path: Path) -> Any:
    for part in path:
        document = document.get(part) if isinstance(document, Mapping) else None
    return document


def _with_tuples(value: Any) -> Any:
    """Return `value` with its lists as tuples, which is what the sections declare."""
    if isinstance(value, Mapping):
        return {key: _with_tuples(item) for key, item in value.items()}
    return tuple(_with_tuples(item) for item in value) if isinstance(value, list) else value


def _unknown_name(path: Path, name: str, registry: Registry[Any]) -> Iterator[Problem]:
    if name and name not in registry:
        close = nearest(name, registry.names())
        hint = f'. Did you mean "{close}"?' if close else ""
        yield _wrong(path, name, f"one of {', '.join(registry.names())}{hint}")


def _fields(model: Any, path: Path) -> dict[str, FieldInfo]:
    """Return the keys of the table at `path`, or nothing where there is no table with keys of its own."""
    for part in path:
        field = getattr(model, "model_fields", {}).get(part)
        model = field.annotation if field else None
    return dict(model.model_fields) if isinstance(model, type) and issubclass(model, Section) else {}


def _stop(model: type[Section], location: tuple[int | str, ...]) -> Path:
    """Return the part of an error's location that is a key of the recipe; list places and union members are not."""
    path: Path = ()
    for part in location:
        if path and not _fields(model, path):
            break
        path += (str(part),)
    return path


def _problem(path: Path, kind: str, document: Mapping[str, Any], model: type[Section]) -> Problem:
    known = _fields(model, path[:-1])
    field = known.get(path[-1])
    if field is None:
        return _unknown_key(path, model)
    if kind == "missing" and _at(document, path) is None:
        return Problem(path, f"missing. Expected: {words(field)}")
    return _wrong(path, _at(document, path), words(field))


def _unknown_key(path: Path, model: type[Section]) -> Problem:
    """Propose the nearest key of the same table, else the same key of another one."""
    table, key = path[:-1], path[-1]
    known = [*_fields(model, table)]
    close = nearest(key, known)
    elsewhere = [(name, key) for name in model.model_fields if key in _fields(model, (name,))]
    proposal = (*table, close) if close else elsewhere[0] if elsewhere else None
    if proposal:
        return Problem(path, f"unknown key. Did you mean {dotted(proposal)}?")
    return Problem(path, f"unknown key. Expected: {'one of ' + ', '.join(known) if known else 'no keys here'}")


def _wrong(path: Path, value: Any, expected: str) -> Problem:
    return Problem(path, f" = {short(toml_value(value))}. Expected: {expected}")
