"""The ``sdlora`` command: its verbs, and what becomes of every error.

A verb is one file with a function and two examples, and one line here.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Annotated

import typer

from sdlora import __version__
from sdlora.cli import analyze, demo, evaluate, export, inspect, learn, listing, predict, report, serve, train
from sdlora.cli.console import Console
from sdlora.cli.failure import explain

app = typer.Typer(
    name="sdlora", add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=False
)

BEGIN = ("sdlora demo", "sdlora list recipes", "sdlora train glyphs100_10/sdlora")


def _examples(title: str, commands: Sequence[str]) -> str:
    return "\n".join(["\b", title, *(f"  {command}" for command in commands)])


def _add(name: str, verb: Callable[..., int], examples: Sequence[str]) -> None:
    app.command(name, epilog=_examples("Examples:", examples))(verb)


_add("demo", demo.demo, demo.EXAMPLES)
_add("train", train.train, train.EXAMPLES)
_add("predict", predict.predict, predict.EXAMPLES)
_add("evaluate", evaluate.evaluate, evaluate.EXAMPLES)
_add("inspect", inspect.inspect, inspect.EXAMPLES)
_add("report", report.report, report.EXAMPLES)
_add("list", listing.listing, listing.EXAMPLES)
_add("learn", learn.learn, learn.EXAMPLES)
_add("export", export.export, export.EXAMPLES)
_add("analyze", analyze.analyze, analyze.EXAMPLES)
_add("serve", serve.serve, serve.EXAMPLES)


@app.callback(invoke_without_command=True, epilog=_examples("To begin with:", BEGIN))
def root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Keep teaching a pretrained vision transformer new classes, and compare the methods that do so."""
    if version:
        print(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; a user's mistake is a message, never a traceback."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what it warns of is refused where it matters, and named there
    console = Console(verbose="--verbose" in words)
    try:
        return int(app(words, prog_name="sdlora", standalone_mode=False) or 0)
    except Exception as error:
        return explain(error, console, words)


if __name__ == "__main__":
    sys.exit(main())
