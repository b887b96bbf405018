"""Options that several commands share, and how each command gets its console."""

from __future__ import annotations

import inspect
import os
import sys
from collections.abc import Callable
from typing import Annotated, Any, Concatenate, ParamSpec, get_type_hints

import typer

from sdlora.cli.console import Console

P = ParamSpec("P")

Device = Annotated[
    str | None, typer.Option(metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout and nothing else there.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print results and errors only.")]
Verbose = Annotated[bool, typer.Option("--verbose", help="Print what is logged, and tracebacks.")]

SHARED: dict[str, Any] = {"json": Json, "quiet": Quiet, "verbose": Verbose}

INTERRUPTED = 130


def with_console(verb: Callable[Concatenate[Console, P], int]) -> Callable[..., int]:
    """Give a command the options of `SHARED`, and the console they describe as its first argument.

    A command returns its exit code. Ctrl-C outside training, where nothing needs to be stored, ends it here.
    """

    def command(*args: Any, **options: Any) -> int:
        console = Console(**{name: options.pop(name) for name in SHARED})
        try:
            return verb(console, *args, **options)
        except KeyboardInterrupt:
            console.note("Stopped.")
            return INTERRUPTED
        except BrokenPipeError:  # whoever read the output has seen enough; the interpreter must not flush to it either
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0

    hints = get_type_hints(verb, include_extras=True)
    own = [parameter.replace(annotation=hints[name]) for name, parameter in inspect.signature(verb).parameters.items()]
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=False, annotation=kind)
        for name, kind in SHARED.items()
    ]
    command.__name__, command.__doc__ = verb.__name__, verb.__doc__
    command.__signature__ = inspect.Signature([*own[1:], *shared])  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in [*own[1:], *shared]}
    return command
