"""A constructor's keyword arguments as a section of a recipe: same names, types and defaults."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, Field, create_model
from pydantic.fields import FieldInfo

from sdlora.config.schema import Section

S = TypeVar("S", bound=Section)
PLURALS = {"integer": "integers", "number": "numbers", "list": "lists"}
PLAIN = (bool, int, float, str, NoneType)


def section_of(
    call: Callable[..., Any],
    base: type[Section] = Section,
    *,
    partial: bool = False,
    leave_out: Sequence[str] = (),
) -> type[Section]:
    """Return a strict section with one key for each argument that TOML can express.

    Args:
        call: A class or function whose arguments are annotated.
        base: Section whose keys come first.
        partial: Whether every key may be absent, whatever the default of its argument; it is None then.
        leave_out: Arguments that are not for recipes.

    Example:
        >>> def draw(image: bytes, *, size: int, colour: str = "red"): ...
        >>> section_of(draw)(size=3).model_dump()
        {'size': 3, 'colour': 'red'}
    """
    function = call.__init__ if isinstance(call, type) else call  # type: ignore[misc]
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for name, parameter in inspect.signature(call).parameters.items():
        named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if named and name not in leave_out and _is_plain(hints[name]):
            default = ... if parameter.default is parameter.empty else parameter.default
            fields[name] = (hints[name], None if partial else default)
    return create_model(base.__name__, __base__=base, **fields)


def with_sections(base: type[S], **sections: type[Section]) -> type[S]:
    """Return `base` with the given models for some of its tables; whether a table may be absent stays the same."""
    fields: dict[str, Any] = {}
    for name, section in sections.items():
        fields[name] = (section, ... if base.model_fields[name].is_required() else Field(default_factory=section))
    return create_model(base.__name__, __base__=base, **fields)


def _is_plain(annotation: Any) -> bool:
    """Whether a value of this type can stand in TOML."""
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _is_plain(parts[0])
    if origin is Literal:
        return all(isinstance(part, PLAIN) for part in parts)
    if origin in (tuple, Sequence, dict, Union, UnionType):
        return all(part is Ellipsis or _is_plain(part) for part in parts)
    return annotation in PLAIN


def words(field: FieldInfo) -> str:
    """Say what a field accepts, such as ``integer from 1 to 384``."""
    return field.description or _words(field.annotation, field.metadata)


def _words(annotation: Any, metadata: list[Any]) -> str:
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        extra = [part.metadata if isinstance(part, FieldInfo) else [part] for part in parts[1:]]
        return _words(parts[0], [item for items in extra for item in items] + metadata)
    if origin in (Union, UnionType):
        return " or ".join(_words(part, metadata) for part in parts if part is not NoneType)
    if origin is Literal:
        return "one of " + ", ".join(f'"{part}"' for part in parts)
    if origin in (tuple, Sequence):
        count = "" if origin is Sequence or Ellipsis in parts else f"{len(parts)} "
        kind, *rest = _words(parts[0], []).split(" ", 1)
        return " ".join([f"list of {count}{PLURALS.get(kind, kind)}", *rest])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "table with " + (", ".join(annotation.model_fields) or "no keys")
    if origin is dict or annotation is dict:
        return "table"
    names: Mapping[Any, str] = {bool: "true or false", int: "integer", float: "number", str: "text"}
    return names.get(annotation, str(annotation)) + ("" if annotation in (bool, str) else _range(metadata))


def _range(metadata: list[Any]) -> str:
    low, above = _bound(metadata, "ge"), _bound(metadata, "gt")
    high, below = _bound(metadata, "le"), _bound(metadata, "lt")
    if low is not None and high is not None:
        return f" from {low} to {high}"
    lower = f", {low} or more" if low is not None else f" above {above}" if above is not None else ""
    upper = f", at most {high}" if high is not None else f", below {below}" if below is not None else ""
    return lower + upper


def _bound(metadata: list[Any], name: str) -> Any:
    return next((value for item in metadata if (value := getattr(item, name, None)) is not None), None)
